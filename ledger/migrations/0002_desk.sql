-- SPDX-License-Identifier: Apache-2.0
-- What the desk needs: findings that can be paged, and what people say of incidents. The archive stays the truth
-- about findings; these rows are its index and may be made again from it.

CREATE TABLE findings (
  tenant TEXT NOT NULL,
  id     TEXT NOT NULL,
  at_ns  BIGINT NOT NULL,
  host   TEXT NOT NULL,
  layer  TEXT NOT NULL,
  stage  TEXT NOT NULL,
  rule   TEXT NOT NULL,
  title  TEXT NOT NULL,
  black  BIGINT NOT NULL,
  score  DOUBLE PRECISION NOT NULL,
  body   BLOB NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE INDEX findings_by_time ON findings (tenant, at_ns, id);
CREATE INDEX findings_black ON findings (tenant, black, at_ns, id);
CREATE INDEX findings_by_host ON findings (tenant, host, black, at_ns, id);
CREATE INDEX findings_by_layer ON findings (tenant, layer, black, at_ns, id);
CREATE INDEX findings_by_rule ON findings (tenant, rule, black, at_ns, id);

CREATE TABLE incident_desk (
  tenant   TEXT NOT NULL,
  id       TEXT NOT NULL,
  status   TEXT NOT NULL,
  assignee TEXT NOT NULL,
  version  BIGINT NOT NULL,
  at_ns    BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
);

CREATE TABLE notes (
  tenant   TEXT NOT NULL,
  id       TEXT NOT NULL,
  incident TEXT NOT NULL,
  at_ns    BIGINT NOT NULL,
  author   TEXT NOT NULL,
  text     TEXT NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE INDEX notes_by_incident ON notes (tenant, incident, at_ns);

CREATE TABLE hunts (
  tenant  TEXT NOT NULL,
  id      TEXT NOT NULL,
  name    TEXT NOT NULL,
  query   TEXT NOT NULL,
  owner   TEXT NOT NULL,
  made_ns BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
);

CREATE INDEX incidents_by_score ON incidents (tenant, score, id);
CREATE INDEX actions_by_time ON actions (tenant, ordered_ns, id);

-- The attack graph of an incident as it was when it last changed; the graph itself forgets.
CREATE TABLE incident_pictures (
  tenant TEXT NOT NULL,
  id     TEXT NOT NULL,
  at_ns  BIGINT NOT NULL,
  body   BLOB NOT NULL,
  PRIMARY KEY (tenant, id)
);
