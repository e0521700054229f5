-- What a node is known to be, kept where it is asked for: a list of nodes reads no reports but the last of each.
ALTER TABLE node ADD COLUMN last_run BLOB;
-- How the last run ended that was not cancelled. A failure stays until a success.
ALTER TABLE node ADD COLUMN outcome TEXT;
-- Since when, by the store's clock.
ALTER TABLE node ADD COLUMN outcome_since INTEGER;
-- The last run in which every resource had its turn: what it ran, and how many resources it found changed by others.
ALTER TABLE node ADD COLUMN whole_revision INTEGER;
ALTER TABLE node ADD COLUMN drift INTEGER NOT NULL DEFAULT 0;
ALTER TABLE node ADD COLUMN pending INTEGER NOT NULL DEFAULT 0;
-- Whether an operator changed the node's data since its last whole run: what that run changes is no drift.
ALTER TABLE node ADD COLUMN edited INTEGER NOT NULL DEFAULT 0;

UPDATE node SET
    last_run = (SELECT max(run) FROM report WHERE report.node = node.id),
    outcome = (SELECT conclusion FROM report WHERE report.node = node.id AND conclusion <> 'cancelled' ORDER BY run DESC LIMIT 1),
    outcome_since = (SELECT received FROM report WHERE report.node = node.id AND conclusion <> 'cancelled' ORDER BY run DESC LIMIT 1),
    whole_revision = (SELECT revision FROM report WHERE report.node = node.id AND conclusion IN ('succeeded', 'failed')
                      ORDER BY run DESC LIMIT 1);

-- Eventful runs are few among many: a list of them must not read the others.
CREATE INDEX report_eventful ON report (run) WHERE eventful;
CREATE INDEX report_eventful_by_node ON report (node, run) WHERE eventful;
