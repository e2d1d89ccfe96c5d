-- SPDX-License-Identifier: Apache-2.0
-- The audit chain cannot be rewritten by a slip; whoever edits the file by hand breaks the chain, and it shows.
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit chain is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit chain is append-only'); END;
