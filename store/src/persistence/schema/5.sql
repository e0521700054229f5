-- Who published a revision; of those from before, nobody knows.
ALTER TABLE revision ADD COLUMN published_by TEXT;

-- What was live in a group, and who made it so: the way back. The newest entry of a group is what is live there now.
CREATE TABLE was_live (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    policy TEXT NOT NULL,
    node_group TEXT NOT NULL,
    serial INTEGER NOT NULL,
    since INTEGER NOT NULL,
    made_by TEXT
) STRICT;
CREATE INDEX was_live_in_group ON was_live (policy, node_group, id);
INSERT INTO was_live (policy, node_group, serial, since) SELECT policy, node_group, serial, since FROM live;
