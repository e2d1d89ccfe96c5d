-- SPDX-License-Identifier: Apache-2.0
-- Every bundle that was ever signed for a group: its version only rises.

CREATE TABLE bundles (
  tenant     TEXT NOT NULL,
  grp        TEXT NOT NULL,
  version    BIGINT NOT NULL,
  id         TEXT NOT NULL,
  content    TEXT NOT NULL,
  note       TEXT NOT NULL,
  created_ns BIGINT NOT NULL,
  PRIMARY KEY (tenant, grp, version)
);
