-- What the store is known by: requests of nodes are bound to it.
CREATE TABLE identity (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    store TEXT NOT NULL
) STRICT;
INSERT INTO identity VALUES (1, lower(hex(randomblob(16))));

-- A node is its key. One that had a token is known by name only, and has to be approved with a key.
ALTER TABLE node RENAME COLUMN token_hash TO key;
-- The digest of the join token that it came with: asked again, it is answered again.
ALTER TABLE node ADD COLUMN joined_with BLOB;
ALTER TABLE node ADD COLUMN revoked INTEGER;

-- Machines that want to take a node's place, until an operator approves one.
CREATE TABLE waiting (
    name TEXT NOT NULL,
    key BLOB NOT NULL,
    joined_with BLOB NOT NULL,
    policy TEXT NOT NULL,
    node_group TEXT NOT NULL,
    peer TEXT NOT NULL,
    asked INTEGER NOT NULL,
    PRIMARY KEY (name, key)
) STRICT, WITHOUT ROWID;

-- Tokens are found by the beginning of their digest, and compared whole.
CREATE TABLE join_token_with_id (
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL,
    policy TEXT NOT NULL,
    node_group TEXT NOT NULL,
    uses_left INTEGER,
    replaces TEXT,
    expires INTEGER,
    created INTEGER NOT NULL,
    made_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO join_token_with_id
    SELECT substr(lower(hex(hash)), 1, 12), hash, policy, node_group, uses_left, NULL, expires, created, 'operator first' FROM join_token;
DROP TABLE join_token;
ALTER TABLE join_token_with_id RENAME TO join_token;

CREATE TABLE operator_token_with_role (
    name TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    hash BLOB NOT NULL,
    role TEXT NOT NULL,
    scope TEXT NOT NULL,
    created INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    expires INTEGER,
    revoked INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO operator_token_with_role
    SELECT 'first', substr(lower(hex(hash)), 1, 12), hash, 'admin', '{}', created, 'the store', NULL, NULL FROM operator_token LIMIT 1;
DROP TABLE operator_token;
ALTER TABLE operator_token_with_role RENAME TO operator_token;

-- Who asked for what; and, beside it, what came of it. Neither is ever changed.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    peer TEXT NOT NULL,
    what TEXT NOT NULL,
    request TEXT NOT NULL
) STRICT;
CREATE TABLE audit_outcome (
    audit INTEGER PRIMARY KEY REFERENCES audit (id),
    status INTEGER NOT NULL,
    detail TEXT
) STRICT;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_outcome_is_not_changed BEFORE UPDATE ON audit_outcome
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_outcome_is_not_deleted BEFORE DELETE ON audit_outcome
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
