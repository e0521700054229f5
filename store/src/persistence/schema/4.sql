-- What an author signed, byte for byte, and the signatures over it: a list of texts. Apart from what every check-in reads.
CREATE TABLE signed_manifest (
    policy TEXT NOT NULL,
    serial INTEGER NOT NULL,
    manifest TEXT NOT NULL,
    signatures TEXT NOT NULL,
    PRIMARY KEY (policy, serial),
    FOREIGN KEY (policy, serial) REFERENCES revision (policy, serial)
) STRICT, WITHOUT ROWID;

-- Those published before there were signatures have none, and no node takes them any more. They can be signed as they are.
INSERT INTO signed_manifest
    SELECT policy, serial, json_set(manifest, '$.format', 1, '$.serial', serial, '$.published', published), '[]' FROM revision;

ALTER TABLE revision DROP COLUMN manifest;
-- The digest of the manifest; of those from before, none.
ALTER TABLE revision ADD COLUMN manifest_digest BLOB NOT NULL
    DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000';
ALTER TABLE revision ADD COLUMN signatures INTEGER NOT NULL DEFAULT 0;
