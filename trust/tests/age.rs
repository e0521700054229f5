//! Against age(1) itself: what it encrypted is read here, and what is encrypted here is read by it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a test fails by panicking, and starts processes itself"
)]

use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use converge_trust::age::{Identity, decrypt, encrypt};

/// What age-keygen 1.1.1 made, for this test alone.
const KEY: &str = "AGE-SECRET-KEY-1L2TPEK7E4H2CKZMQ6QQN97KF6CEEHYCCRQCCYCG2YQ08T87Z80TQ9WEZSE";
const RECIPIENT: &str = "age127qqe3ra6j880wq9apsc64nldz856u7nwdcc08xp9s4mpgmqd92qyrvass";

/// `age -r OTHER -r RECIPIENT`, as Base64.
const FOR_TWO: &str = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBuT0hVWnE0dG8zTDJhU0NZOE9RSjZhdzc2dFdHUXBvVHdpRDA3RDVMckFB\
CkE0QzlVQjhPV3RlVW5QSUY1MmxOMUpNTW5leUJWUnNvZ2JFYzVaRUJaUmcKLT4gWDI1NTE5IEp6M3pERTR4Ylo4bVZFR040eFhW\
UDA5Vklva3FqQWVYd2VhVjR0am5zMnMKNGRtR3J3OWFDemVRM0Q5aEIzM2dJNm5kRFA2aWZZUSsvQkRxRWZHdjZGOAotLS0gOXJv\
NEhZVG5pRlJ4L2VUM2JEcjlkWlMzR1dHY0Z6U2s1ZlBCNlpOKzdQRQo5CT1PYXGNtH063XEHpRnFRZedRv/A9i9ZDrSRfb89sQGR\
92fHmUow";

/// `age --armor -r RECIPIENT`
const ARMORED: &str = "-----BEGIN AGE ENCRYPTED FILE-----
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBpWnZIZHY0VE5FdThZNkNQ
c3hBaXNGaUpTYjE2UUJON3pqLzBIS3orbUU4CjA3QW05TUd5WXZETVVrM1cvOWJr
MmZHc1g3SjVrb21xWTJZaHZjNGxuM2cKLS0tIENBOTVCUDBRK0M3cldZVU1CVVdk
ODY0Q1NmRFBKTjQ0dFZnMGhxS3RJNUEKyPkDqbQ8S/nHuMIXjosPMqxZvDGefuWP
9NREaMC4K3p2wcyslmgdzA==
-----END AGE ENCRYPTED FILE-----
";

#[test]
fn what_age_encrypted_is_read() {
    let key = Identity::from_text(KEY).unwrap();
    assert_eq!(key.recipient().unwrap().to_string(), RECIPIENT);
    let binary = STANDARD.decode(FOR_TWO).unwrap();
    for sealed in [binary.as_slice(), ARMORED.as_bytes()] {
        assert_eq!(decrypt(&[&key], sealed).unwrap().as_slice(), b"hunter2\n");
    }
}

#[test]
fn age_reads_what_is_encrypted_here() {
    if Command::new("age").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "the program age is missing");
        println!("NOT RUN: the program age is missing (Debian: apt-get install age)");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("key"), KEY).unwrap();
    let other = Identity::generate().unwrap().recipient().unwrap();
    for length in [0, 1, 65_536, 200_000] {
        let plain = vec![b'x'; length];
        let sealed = encrypt(&[other, RECIPIENT.parse().unwrap()], &plain).unwrap();
        let mut age = Command::new("age");
        age.args(["-d", "-i", "key"]).current_dir(directory.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = age.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || input.write_all(&sealed).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success() && output.stdout == plain, "{length}");
    }
}
