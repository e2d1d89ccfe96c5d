-- SPDX-License-Identifier: Apache-2.0
-- Runs on SQLite and, with BLOB read as BYTEA, on PostgreSQL. All times are wall ns since 1970; 0 is never.

CREATE TABLE incidents (
  tenant     TEXT NOT NULL,
  id         TEXT NOT NULL,
  state      TEXT NOT NULL,
  title      TEXT NOT NULL,
  score      DOUBLE PRECISION NOT NULL,
  opened_ns  BIGINT NOT NULL,
  updated_ns BIGINT NOT NULL,
  version    BIGINT NOT NULL,
  body       BLOB NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE INDEX incidents_by_time ON incidents (tenant, updated_ns);

CREATE TABLE incident_history (
  tenant  TEXT NOT NULL,
  id      TEXT NOT NULL,
  version BIGINT NOT NULL,
  at_ns   BIGINT NOT NULL,
  why     TEXT NOT NULL,
  body    BLOB NOT NULL,
  PRIMARY KEY (tenant, id, version)
);

CREATE TABLE incident_aliases (
  tenant TEXT NOT NULL,
  alias  TEXT NOT NULL,
  id     TEXT NOT NULL,
  PRIMARY KEY (tenant, alias)
);
CREATE INDEX incident_aliases_by_id ON incident_aliases (tenant, id);

CREATE TABLE incident_findings (
  tenant  TEXT NOT NULL,
  finding TEXT NOT NULL,
  id      TEXT NOT NULL,
  PRIMARY KEY (tenant, finding)
);
CREATE INDEX incident_findings_by_id ON incident_findings (tenant, id);

CREATE TABLE incident_hosts (
  tenant TEXT NOT NULL,
  host   TEXT NOT NULL,
  id     TEXT NOT NULL,
  PRIMARY KEY (tenant, host, id)
);
CREATE INDEX incident_hosts_by_id ON incident_hosts (tenant, id);

CREATE TABLE actions (
  tenant      TEXT NOT NULL,
  id          TEXT NOT NULL,
  host        TEXT NOT NULL,
  kind        TEXT NOT NULL,
  state       TEXT NOT NULL,
  incident    TEXT NOT NULL,
  ordered_ns  BIGINT NOT NULL,
  deadline_ns BIGINT NOT NULL,
  updated_ns  BIGINT NOT NULL,
  body        BLOB NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE INDEX actions_by_state ON actions (state, deadline_ns);
CREATE INDEX actions_by_incident ON actions (tenant, incident);

CREATE TABLE action_history (
  tenant TEXT NOT NULL,
  id     TEXT NOT NULL,
  step   BIGINT NOT NULL,
  at_ns  BIGINT NOT NULL,
  state  TEXT NOT NULL,
  result TEXT NOT NULL,
  PRIMARY KEY (tenant, id, step)
);

CREATE TABLE exceptions (
  tenant     TEXT NOT NULL,
  id         TEXT NOT NULL,
  scope      BLOB NOT NULL,
  reason     TEXT NOT NULL,
  owner      TEXT NOT NULL,
  made_ns    BIGINT NOT NULL,
  expires_ns BIGINT NOT NULL,
  removed_ns BIGINT NOT NULL,
  hits       BIGINT NOT NULL,
  hit_ns     BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
);

CREATE TABLE audit (
  tenant TEXT NOT NULL,
  seq    BIGINT NOT NULL,
  at_ns  BIGINT NOT NULL,
  actor  TEXT NOT NULL,
  verb   TEXT NOT NULL,
  object TEXT NOT NULL,
  detail TEXT NOT NULL,
  prev   BLOB NOT NULL,
  hash   BLOB NOT NULL,
  PRIMARY KEY (tenant, seq)
);

CREATE TABLE hosts (
  tenant      TEXT NOT NULL,
  host        TEXT NOT NULL,
  agent_group TEXT NOT NULL,
  public_key  TEXT NOT NULL,
  enrolled_ns BIGINT NOT NULL,
  revoked_ns  BIGINT NOT NULL,
  PRIMARY KEY (tenant, host)
);

CREATE TABLE join_secrets (
  hash        BLOB NOT NULL PRIMARY KEY,
  tenant      TEXT NOT NULL,
  host        TEXT NOT NULL,
  agent_group TEXT NOT NULL,
  expires_ns  BIGINT NOT NULL,
  used_ns     BIGINT NOT NULL,
  used_by     TEXT NOT NULL
);

CREATE TABLE users (
  tenant        TEXT NOT NULL,
  name          TEXT NOT NULL,
  role          TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  made_ns       BIGINT NOT NULL,
  disabled_ns   BIGINT NOT NULL,
  PRIMARY KEY (tenant, name)
);

CREATE TABLE tokens (
  hash       BLOB NOT NULL PRIMARY KEY,
  tenant     TEXT NOT NULL,
  name       TEXT NOT NULL,
  role       TEXT NOT NULL,
  made_ns    BIGINT NOT NULL,
  expires_ns BIGINT NOT NULL,
  revoked_ns BIGINT NOT NULL
);

CREATE TABLE policy_stages (
  tenant TEXT NOT NULL,
  scope  TEXT NOT NULL,
  stage  TEXT NOT NULL,
  actor  TEXT NOT NULL,
  reason TEXT NOT NULL,
  at_ns  BIGINT NOT NULL,
  PRIMARY KEY (tenant, scope)
);

CREATE TABLE aliases (
  tenant     TEXT NOT NULL,
  alias      BLOB NOT NULL,
  entity     BLOB NOT NULL,
  rule       TEXT NOT NULL,
  event      TEXT NOT NULL,
  at_ns      BIGINT NOT NULL,
  undone_ns  BIGINT NOT NULL,
  PRIMARY KEY (tenant, alias, entity, at_ns)
);
