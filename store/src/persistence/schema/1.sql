CREATE TABLE operator_token (
    hash BLOB PRIMARY KEY,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE join_token (
    hash BLOB PRIMARY KEY,
    policy TEXT NOT NULL,
    node_group TEXT NOT NULL,
    uses_left INTEGER,
    expires INTEGER,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE revision (
    policy TEXT NOT NULL,
    serial INTEGER NOT NULL,
    graph BLOB NOT NULL,
    graph_size INTEGER NOT NULL,
    manifest TEXT NOT NULL,
    published INTEGER NOT NULL,
    PRIMARY KEY (policy, serial)
) STRICT, WITHOUT ROWID;

CREATE TABLE live (
    policy TEXT NOT NULL,
    node_group TEXT NOT NULL,
    serial INTEGER NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (policy, node_group),
    FOREIGN KEY (policy, serial) REFERENCES revision (policy, serial)
) STRICT, WITHOUT ROWID;

CREATE TABLE node (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    token_hash BLOB NOT NULL UNIQUE,
    policy TEXT NOT NULL,
    node_group TEXT NOT NULL,
    tags TEXT NOT NULL DEFAULT '[]',
    attributes TEXT NOT NULL DEFAULT '{}',
    facts TEXT,
    enrolled INTEGER NOT NULL,
    last_contact INTEGER
) STRICT;

-- A run in which everything was up to date has no body: its row is all there is to say.
CREATE TABLE report (
    run BLOB PRIMARY KEY,
    node INTEGER NOT NULL REFERENCES node (id),
    policy TEXT NOT NULL,
    revision INTEGER,
    started INTEGER NOT NULL,
    millis INTEGER NOT NULL,
    conclusion TEXT NOT NULL,
    counts TEXT NOT NULL,
    eventful INTEGER NOT NULL,
    received INTEGER NOT NULL,
    body BLOB
) STRICT, WITHOUT ROWID;

CREATE INDEX report_by_node ON report (node, run);
