-- SPDX-License-Identifier: Apache-2.0
-- Who may use the bus stands beside the keys that sign it (package identity), in one place. These two were never written.
DROP TABLE hosts;
DROP TABLE join_secrets;
