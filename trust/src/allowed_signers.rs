//! Whom a node trusts: the file format of ssh-keygen(1), section ALLOWED SIGNERS.
//!
//! A line names principals, options and a key. Lines that share a principal, or whose patterns match one, are the same
//! signer: two of his signatures count as one.

use converge_model::{Error, ErrorKind, Result, Timestamp};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::PublicKey;

/// Where and how the file is described.
const HINT: &str = "a line is `name@example.org ssh-ed25519 AAAA…`; ssh-keygen(1) describes it under ALLOWED SIGNERS";

/// One key that is trusted, by whom, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Who signs with it: names or patterns, as they are written.
    pub principals: Vec<String>,
    /// The key.
    pub key: PublicKey,
    /// The only purposes that the key is for; any where it does not say.
    namespaces: Option<Vec<String>>,
    /// From when on the key is good.
    valid_after: Option<Timestamp>,
    /// Until when it is.
    valid_before: Option<Timestamp>,
    /// The line in the file, from 1.
    line: usize,
}

/// Everybody whom a node trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedSigners {
    signers: Vec<Signer>,
}

impl AllowedSigners {
    /// What a file with this text says. Times without a `Z` are of the time zone `zone`; `name` is the file's.
    ///
    /// # Errors
    /// The first line that is wrong, or asks for what is not supported: a line that was passed over could be the one that
    /// matters.
    pub fn parse(text: &str, zone: &TimeZone, name: &str) -> Result<Self> {
        let mut signers = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let signer = signer(line, number, zone).map_err(|cause| {
                Error::new(ErrorKind::Invalid, "read", format!("{name}:{number}"), cause).with_hint(HINT)
            })?;
            signers.push(signer);
        }
        if signers.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "read", name, "it names no signer").with_hint(HINT));
        }
        Ok(Self { signers })
    }

    /// One key that is good for everything, of one signer.
    pub fn of(principal: &str, key: PublicKey) -> Self {
        let signer = Signer {
            principals: vec![principal.to_owned()],
            key,
            namespaces: None,
            valid_after: None,
            valid_before: None,
            line: 1,
        };
        Self { signers: vec![signer] }
    }

    /// All keys, in the file's order.
    pub fn signers(&self) -> &[Signer] {
        &self.signers
    }

    /// The lines under which a signature by `key` for the purpose `namespace` is good at the time `at`.
    ///
    /// # Errors
    /// Says why there is none.
    pub fn who(&self, key: &PublicKey, namespace: &str, at: Timestamp) -> Result<Vec<&Signer>, String> {
        let lines = self.signers.iter().filter(|signer| signer.key == *key);
        let (good, wrong): (Vec<_>, Vec<_>) =
            lines.map(|signer| (signer, signer.refusal(namespace, at))).partition(|(_, refusal)| refusal.is_none());
        if good.is_empty() {
            let mut refusals = wrong.into_iter().filter_map(|(_, refusal)| refusal);
            return Err(refusals.next_back().unwrap_or_else(|| "the key is not among the trusted ones".to_owned()));
        }
        Ok(good.into_iter().map(|(signer, _)| signer).collect())
    }
}

impl Signer {
    /// Whether two lines are the same signer's: they share a key or a principal, or a pattern of one matches one of the other.
    pub fn is_same_as(&self, other: &Signer) -> bool {
        let matched = |a: &Signer, b: &Signer| {
            a.principals.iter().any(|pattern| b.principals.iter().any(|name| matches(pattern, name)))
        };
        self.key == other.key || matched(self, other) || matched(other, self)
    }

    /// Why a signature by this key is not good; nothing where it is.
    fn refusal(&self, namespace: &str, at: Timestamp) -> Option<String> {
        let line = self.line;
        if self.namespaces.as_ref().is_some_and(|list| !listed(list, namespace)) {
            return Some(format!("line {line} of the allowed signers does not trust the key for {namespace:?}"));
        }
        if self.valid_after.is_some_and(|after| at < after) {
            return Some(format!("line {line} of the allowed signers trusts the key only later (valid-after)"));
        }
        if self.valid_before.is_some_and(|before| at > before) {
            return Some(format!("line {line} of the allowed signers trusts the key no longer (valid-before)"));
        }
        None
    }
}

/// What the options of a line say.
#[derive(Default)]
struct Options {
    namespaces: Option<Vec<String>>,
    valid_after: Option<Timestamp>,
    valid_before: Option<Timestamp>,
}

fn signer(line: &str, number: usize, zone: &TimeZone) -> Result<Signer, String> {
    let (principals, rest) = word(line)?;
    let principals: Vec<String> = principals.trim_matches('"').split(',').map(str::to_owned).collect();
    if principals.iter().any(|name| name.is_empty() || name.starts_with('!')) {
        return Err("its principals hold an empty or a negated one: write the name of each signer".to_owned());
    }
    // Options stand before the key, where there are any.
    let (options, key) = match PublicKey::from_line(rest) {
        Ok(key) => (Options::default(), key),
        Err(error) => {
            let (options, key) = word(rest)?;
            if key.is_empty() || ssh_key::Algorithm::new(options).is_ok() {
                return Err(error);
            }
            (Options::parse(options, zone)?, PublicKey::from_line(key)?)
        }
    };
    let Options { namespaces, valid_after, valid_before } = options;
    Ok(Signer { principals, key, namespaces, valid_after, valid_before, line: number })
}

impl Options {
    fn parse(text: &str, zone: &TimeZone) -> Result<Self, String> {
        let mut options = Self::default();
        for option in split_unquoted(text, ',') {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            match name.to_ascii_lowercase().as_str() {
                "namespaces" if !value.is_empty() => {
                    options.namespaces = Some(value.split(',').map(|name| name.trim().to_owned()).collect());
                }
                "valid-after" => options.valid_after = Some(moment(value, zone)?),
                "valid-before" => options.valid_before = Some(moment(value, zone)?),
                "cert-authority" => {
                    return Err("cert-authority is not supported: write a line for the key of each signer".to_owned());
                }
                _ => return Err(format!("the option {option:?} is not known")),
            }
        }
        Ok(options)
    }
}

/// The first word of a line, in which white space may be quoted, and what follows.
fn word(line: &str) -> Result<(&str, &str), String> {
    let mut quoted = false;
    let end = line.find(|c: char| {
        quoted ^= c == '"';
        c.is_ascii_whitespace() && !quoted
    });
    if end.is_none() && quoted {
        return Err("a quotation mark is not closed".to_owned());
    }
    let (word, rest) = line.split_at(end.unwrap_or(line.len()));
    Ok((word, rest.trim_start()))
}

/// The parts of a text between separators that are not within quotation marks.
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

/// A time as the file format writes it: `YYYYMMDD[Z]` or `YYYYMMDDHHMM[SS][Z]`.
fn moment(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    let wrong = || format!("{text:?} is not a time: YYYYMMDD or YYYYMMDDHHMMSS, with a Z after it for UTC");
    let (digits, zone) = match text.strip_suffix(['Z', 'z']) {
        Some(digits) => (digits, &TimeZone::UTC),
        None => (text, zone),
    };
    if !digits.bytes().all(|c| c.is_ascii_digit()) || !matches!(digits.len(), 8 | 12 | 14) {
        return Err(wrong());
    }
    let number = |from: usize, to: usize| digits.get(from..to).map_or(Ok(0), str::parse::<i8>).map_err(|_| wrong());
    let year = digits[..4].parse().map_err(|_| wrong())?;
    let date_time =
        DateTime::new(year, number(4, 6)?, number(6, 8)?, number(8, 10)?, number(10, 12)?, number(12, 14)?, 0);
    let zoned = date_time.and_then(|date_time| date_time.to_zoned(zone.clone())).map_err(|_| wrong())?;
    Ok(Timestamp(zoned.timestamp().as_millisecond()))
}

/// Whether a list of patterns holds one that matches `name`, and none before a `!` that does.
fn listed(list: &[String], name: &str) -> bool {
    let negated = |pattern: &String| pattern.strip_prefix('!').is_some_and(|pattern| matches(pattern, name));
    !list.iter().any(negated) && list.iter().any(|pattern| matches(pattern, name))
}

/// Whether `name` matches a pattern, in which `*` stands for anything and `?` for one character.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of, mut star) = (0, 0, None);
    while of < name.len() {
        if pattern.get(at) == Some(&'*') {
            star = Some((at, of));
            at += 1;
        } else if pattern.get(at).is_some_and(|c| *c == '?' || *c == name[of]) {
            (at, of) = (at + 1, of + 1);
        } else if let Some((before, taken)) = star {
            // Let the last star take one character more.
            star = Some((before, taken + 1));
            (at, of) = (before + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;

    fn line() -> String {
        SigningKey::generate("").unwrap().public().to_line().unwrap()
    }

    fn parse(text: &str) -> Result<AllowedSigners> {
        AllowedSigners::parse(text, &TimeZone::UTC, "allowed_signers")
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_with_its_number() {
        let key = line();
        for (wrong, said) in [
            ("alice", "no public key"),
            ("alice ssh-ed25519 AAAA", "no public key"),
            ("alice namespaces=\"git ssh-ed25519 AAAA", "not closed"),
            (&*format!("alice cert-authority {key}"), "cert-authority is not supported"),
            (&*format!("alice valid-after=2026-01-01 {key}"), "is not a time"),
            (&*format!("alice valid-before=20261301 {key}"), "is not a time"),
            (&*format!("alice no-touch {key}"), "\"no-touch\" is not known"),
            (&*format!("!alice,* {key}"), "negated"),
        ] {
            let error = parse(&format!("# signers\n\n{wrong}\n")).unwrap_err();
            assert!(error.subject == "allowed_signers:3" && error.cause.contains(said), "{wrong}: {error}");
        }
        assert!(parse("# nobody\n").unwrap_err().cause.contains("names no signer"));
    }

    #[test]
    fn a_key_is_good_within_its_window_and_for_its_purposes() {
        let key = line();
        let day = |text: &str| moment(text, &TimeZone::UTC).unwrap();
        let public = PublicKey::from_line(&key).unwrap();
        let text = format!(
            "alice@example.org,\"alice\" Valid-After=\"20260101Z\",valid-before=202602011200,namespaces=\"git,conv*\" {key} a comment"
        );
        let signers = parse(&text.replace(",\"alice\"", "")).unwrap();
        let who = |namespace, at| signers.who(&public, namespace, day(at));
        assert!(who("converge-revision", "20260101Z").is_ok());
        assert!(who("git", "20260201115959Z").is_ok());
        assert!(who("file", "20260115").unwrap_err().contains("does not trust the key for \"file\""));
        assert!(who("git", "20251231").unwrap_err().contains("only later"));
        assert!(who("git", "20260202").unwrap_err().contains("no longer"));
        assert!(signers.who(&PublicKey::from_line(&line()).unwrap(), "git", day("20260115")).is_err());
        // Without a Z it is the time of the machine's zone.
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(moment("20260101", &zone).unwrap().0, day("20251231220000Z").0);
    }

    #[test]
    fn lines_of_one_signer_are_one_signer() {
        for (first, second, same) in [
            ("alice", "bob", false),
            ("alice", "alice,bob", true),
            ("*@a.org", "x@a.org", true),
            ("*@a.org", "x@b.org", false),
            ("x@?.org", "x@b.org", true),
        ] {
            let signers = parse(&format!("{first} {}\n{second} {}\n", line(), line())).unwrap();
            let [first_line, second_line] = signers.signers() else { panic!("two lines") };
            assert_eq!(first_line.is_same_as(second_line), same, "{first} {second}");
            assert_eq!(second_line.is_same_as(first_line), same, "{first} {second}");
        }
        let key = line();
        let signers = parse(&format!("alice {key}\nbob {key}\n")).unwrap();
        assert!(signers.signers()[0].is_same_as(&signers.signers()[1]));
    }
}
