-- What a join token gives beside its policy and group, and what the secrets of its join string are made from.
ALTER TABLE join_token ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE join_token ADD COLUMN secrets TEXT;

-- Rules with their secrets, as they were signed. Everything in them is encrypted.
CREATE TABLE secret_rule (
    name TEXT PRIMARY KEY,
    policy TEXT NOT NULL,
    node_group TEXT,
    tag TEXT,
    serial INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    signed TEXT NOT NULL,
    changed INTEGER NOT NULL,
    changed_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX secret_rule_policy ON secret_rule (policy);

-- The key of a rule in its epoch, encrypted for who may read it.
CREATE TABLE secret_key (
    rule TEXT NOT NULL REFERENCES secret_rule (name) ON DELETE CASCADE,
    holder TEXT NOT NULL,
    sealed TEXT NOT NULL,
    PRIMARY KEY (rule, holder)
) STRICT, WITHOUT ROWID;

-- Who has read a rule in its epoch: by name, because a node that was forgotten still knows what it read.
CREATE TABLE secret_reader (
    rule TEXT NOT NULL REFERENCES secret_rule (name) ON DELETE CASCADE,
    node TEXT NOT NULL,
    recipient TEXT NOT NULL,
    first INTEGER NOT NULL,
    PRIMARY KEY (rule, node, recipient)
) STRICT, WITHOUT ROWID;

-- To whom to encrypt what is meant for a node, and what proves it. Goes with the node.
CREATE TABLE node_recipient (
    node INTEGER PRIMARY KEY REFERENCES node (id) ON DELETE CASCADE,
    recipient TEXT NOT NULL,
    voucher TEXT
) STRICT;
