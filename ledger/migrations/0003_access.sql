-- SPDX-License-Identifier: Apache-2.0
-- Who may use the HTTP API: what people prove themselves with, their sessions, tokens and one-time links.
-- Every secret is kept as a hash, but the TOTP secret, which is sealed with a key that lies outside this file.

ALTER TABLE users ADD COLUMN raw BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN handle TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN issuer TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN subject TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN totp TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN totp_step BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN login_ns BIGINT NOT NULL DEFAULT 0;
CREATE INDEX users_by_handle ON users (handle);
CREATE INDEX users_by_subject ON users (tenant, issuer, subject);

ALTER TABLE tokens ADD COLUMN id TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN used_ns BIGINT NOT NULL DEFAULT 0;
CREATE INDEX tokens_by_owner ON tokens (tenant, owner);
CREATE INDEX tokens_by_id ON tokens (tenant, id);

CREATE TABLE sessions (
  hash       BLOB NOT NULL PRIMARY KEY,
  tenant     TEXT NOT NULL,
  id         TEXT NOT NULL,
  name       TEXT NOT NULL,
  way        TEXT NOT NULL,
  address    TEXT NOT NULL,
  agent      TEXT NOT NULL,
  made_ns    BIGINT NOT NULL,
  proved_ns  BIGINT NOT NULL,
  seen_ns    BIGINT NOT NULL,
  expires_ns BIGINT NOT NULL,
  ended_ns   BIGINT NOT NULL
);
CREATE UNIQUE INDEX sessions_by_id ON sessions (tenant, id);
CREATE INDEX sessions_by_user ON sessions (tenant, name);
CREATE INDEX sessions_by_end ON sessions (expires_ns);

CREATE TABLE passkeys (
  id      TEXT NOT NULL PRIMARY KEY,
  tenant  TEXT NOT NULL,
  name    TEXT NOT NULL,
  site    TEXT NOT NULL,
  label   TEXT NOT NULL,
  body    BLOB NOT NULL,
  made_ns BIGINT NOT NULL,
  used_ns BIGINT NOT NULL
);
CREATE INDEX passkeys_by_user ON passkeys (tenant, name);

CREATE TABLE recovery_codes (
  tenant  TEXT NOT NULL,
  name    TEXT NOT NULL,
  hash    BLOB NOT NULL,
  used_ns BIGINT NOT NULL,
  PRIMARY KEY (tenant, name, hash)
);

CREATE TABLE access_links (
  hash       BLOB NOT NULL PRIMARY KEY,
  tenant     TEXT NOT NULL,
  purpose    TEXT NOT NULL,
  name       TEXT NOT NULL,
  role       TEXT NOT NULL,
  raw        BIGINT NOT NULL,
  made_by    TEXT NOT NULL,
  made_ns    BIGINT NOT NULL,
  expires_ns BIGINT NOT NULL,
  used_ns    BIGINT NOT NULL
);
CREATE INDEX access_links_by_name ON access_links (tenant, name);
