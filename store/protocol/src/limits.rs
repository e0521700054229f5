//! What the store takes at most. A client that knows them need not be told.

/// Bytes of a body that is not a blob, decompressed.
pub const BODY_BYTES: usize = 16 << 20;
/// Bytes of one blob.
pub const BLOB_BYTES: u64 = 4 << 30;
/// Bytes of the name of a node, policy, group or tag: `[a-zA-Z0-9][a-zA-Z0-9._-]*`.
pub const NAME_BYTES: usize = 128;
/// Seconds for which the store holds a request that waits for a change, whatever was asked for.
pub const WAIT_SECONDS: u64 = 55;
/// Requests that the store holds at once; one of each node. Connections are left for those that are worked on.
pub const HELD_REQUESTS: usize = 16_000;
/// Bytes of the body with which a machine enrols: nobody is known yet who asks.
pub const ENROLL_BYTES: usize = 64 << 10;
/// Seconds after which a node that was not heard of is silent: four of the agent's default intervals.
pub const SILENT_SECONDS: i64 = 2 * 60 * 60;
/// Tags of a node.
pub const TAGS: usize = 64;
/// Bytes of the values that are set for a node, as JSON.
pub const ATTRIBUTE_BYTES: usize = 64 << 10;
/// Bytes of an expression over facts.
pub const EXPRESSION_BYTES: usize = 4 << 10;
/// Items of a page, whatever was asked for.
pub const PAGE_ITEMS: usize = 500;
/// Signatures of one revision.
pub const SIGNATURES: usize = 16;
/// The highest serial: what every reader of JSON takes for a whole number.
pub const SERIAL: u64 = (1 << 53) - 1;
/// How much higher than the newest serial the next one may be. There is room to go on behind what a store lost, and nobody
/// uses up all serials at once.
pub const SERIAL_STEP: u64 = 1_000_000;
/// Groups that a manifest may name.
pub const GROUPS: usize = 100;
/// Bytes of the document of a rule, as it was signed.
pub const SECRETS_BYTES: usize = 2 << 20;
/// Rules of a store.
pub const RULES: usize = 500;
/// Keys of one rule: for how many nodes and join strings it is.
pub const RULE_KEYS: usize = 50_000;
/// Digests in one question for missing blobs.
pub const MISSING_DIGESTS: usize = 20_000;

/// Checks the name of a node, policy, group or tag.
///
/// # Errors
/// Says which rule the name breaks.
pub fn check_name(what: &str, name: &str) -> Result<(), String> {
    let mut letters = name.bytes();
    let good = letters.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'))
        && name.len() <= NAME_BYTES;
    if good {
        Ok(())
    } else {
        Err(format!(
            "{name:?} is not the name of a {what} (a letter or digit first, then letters, digits, `.`, `_`, `-`; at most {NAME_BYTES})"
        ))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_that_could_be_paths_or_markup_are_refused() {
        assert!(super::check_name("node", "web-1.example").is_ok());
        for wrong in ["", ".", "..", "a/b", "-x", "a b", "<b>", "é", &"a".repeat(129)] {
            assert!(super::check_name("node", wrong).is_err(), "{wrong:?}");
        }
    }
}
