//! Against OpenSSH itself: what `ssh-keygen` signs is good here, and what is signed here is good to `ssh-keygen`.
//! Without openssh-client on the machine these tests fail.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and looks at files and processes itself"
)]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use converge_model::Timestamp;
use converge_trust::sshsig::{self, Fault};
use converge_trust::{AllowedSigners, KeyFile, PublicKey, SigningKey, SshAgent};
use tempfile::TempDir;

const NAMESPACE: &str = "converge-revision";
const MESSAGE: &[u8] = b"{\"policy\":\"web\"}";

/// A directory with keys and files of one test.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// A key made by `ssh-keygen`, with this password.
    fn key(&self, name: &str, kind: &str, password: &str) -> KeyFile {
        run(Command::new("ssh-keygen")
            .args(["-q", "-t", kind, "-C", "somebody", "-N", password, "-f"])
            .arg(self.path(name)));
        self.parse(name)
    }

    fn parse(&self, name: &str) -> KeyFile {
        KeyFile::parse(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// Whether `ssh-keygen` takes a signature over [`MESSAGE`] for that of alice.
    fn verifies(&self, key: &PublicKey, signature: &str, namespace: &str) -> Output {
        let signers = self.file("signers", format!("alice@example.org {}\n", key.to_line().unwrap()));
        let signature = self.file("signature", signature);
        let mut verify = Command::new("ssh-keygen");
        verify.args(["-Y", "verify", "-I", "alice@example.org", "-n", namespace, "-f"]).arg(signers);
        let mut child = verify.arg("-s").arg(signature).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(MESSAGE).unwrap();
        child.wait_with_output().unwrap()
    }
}

#[track_caller]
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[track_caller]
fn open(file: KeyFile) -> SigningKey {
    let KeyFile::Open(key) = file else { panic!("not a private key that can be used: {file:?}") };
    key
}

#[test]
fn each_takes_what_the_other_signed() {
    for kind in ["ed25519", "ecdsa"] {
        let desk = Desk::new();
        let key = open(desk.key("id", kind, ""));
        let ours = key.sign(NAMESPACE, MESSAGE).unwrap();
        assert!(desk.verifies(&key.public(), &ours, NAMESPACE).status.success(), "{kind}");
        assert!(!desk.verifies(&key.public(), &ours, "git").status.success(), "{kind}");

        let message = desk.file("message", MESSAGE);
        run(Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"])
            .arg(desk.path("id"))
            .arg(message));
        let theirs = std::fs::read_to_string(desk.path("message.sig")).unwrap();
        assert_eq!(sshsig::check(&theirs, NAMESPACE, MESSAGE), Ok(key.public()), "{kind}");
        assert_eq!(sshsig::check(&theirs, NAMESPACE, b"altered"), Err(Fault::Wrong(Box::new(key.public()))), "{kind}");
        assert_eq!(sshsig::check(&theirs, "git", MESSAGE), Err(Fault::Namespace(NAMESPACE.to_owned())), "{kind}");
        let cut: Vec<&str> = theirs.lines().filter(|line| !line.ends_with('=')).collect();
        for broken in
            [&*cut[..2].join("\n"), &theirs.replace("SSH SIGNATURE", "SSH"), "", "rubbish", &"x".repeat(20_000)]
        {
            assert!(matches!(sshsig::check(broken, NAMESPACE, MESSAGE), Err(Fault::Unreadable(_))), "{broken}");
        }
    }
}

#[test]
fn a_key_that_is_made_here_is_one_for_openssh() {
    let desk = Desk::new();
    let key = SigningKey::generate("demo").unwrap();
    let file = desk.file("id", key.to_file().unwrap().unwrap());
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let shown = run(Command::new("ssh-keygen").arg("-lf").arg(&file));
    assert!(String::from_utf8_lossy(&shown.stdout).contains(&key.public().to_string()));
    assert_eq!(open(desk.parse("id")).public(), key.public());
}

#[test]
fn keys_that_cannot_sign_here_are_told_apart() {
    let desk = Desk::new();
    let locked = desk.key("locked", "ed25519", "a password");
    let KeyFile::Locked(public) = locked else { panic!("{locked:?}") };
    let KeyFile::Public(beside) = desk.parse("locked.pub") else { panic!("not a public key") };
    assert_eq!(public, beside);
    let rsa = open(desk.key("rsa", "rsa", ""));
    let error = rsa.sign(NAMESPACE, MESSAGE).unwrap_err();
    assert!(error.cause.contains("ssh-rsa") && error.hint.unwrap().contains("ed25519"), "{}", error.cause);
    let pem = "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\n";
    assert!(KeyFile::parse(pem.as_bytes()).unwrap_err().contains("ssh-keygen -p"));
    for rubbish in [&b""[..], b"\xff\xfe", b"hello world"] {
        assert!(KeyFile::parse(rubbish).is_err());
    }
    // A signature of a sort that is not supported says so.
    let message = desk.file("message", MESSAGE);
    run(Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"])
        .arg(desk.path("rsa"))
        .arg(message));
    let theirs = std::fs::read_to_string(desk.path("message.sig")).unwrap();
    assert_eq!(sshsig::check(&theirs, NAMESPACE, MESSAGE), Err(Fault::Algorithm("ssh-rsa".to_owned())));
}

/// An `ssh-agent` that ends with the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_agent_signs_with_the_keys_it_has() {
    let desk = Desk::new();
    let key = open(desk.key("id", "ed25519", ""));
    let socket = desk.path("agent");
    let agent = SshAgent::at(&socket);
    assert!(agent.keys().unwrap_err().hint.unwrap().contains("ssh-add"), "nobody listens there");
    let mut command = Command::new("ssh-agent");
    let _running = Agent(command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap());
    while !socket.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(agent.keys().unwrap(), []);
    assert!(SigningKey::at_agent(agent.clone(), key.public()).sign(NAMESPACE, MESSAGE).is_err(), "it has no such key");
    run(Command::new("ssh-add").arg("-q").arg(desk.path("id")).env("SSH_AUTH_SOCK", &socket));
    let keys = agent.keys().unwrap();
    assert_eq!((keys.len(), &keys[0].key, &*keys[0].comment), (1, &key.public(), "somebody"));
    let signature = SigningKey::at_agent(agent, key.public()).sign(NAMESPACE, MESSAGE).unwrap();
    assert!(desk.verifies(&key.public(), &signature, NAMESPACE).status.success());
}

/// A signature by a hardware key (`sk-ssh-ed25519@openssh.com`), as OpenSSH made one over `MESSAGE` for `NAMESPACE`, cannot be
/// made without the hardware. Its parts can: the application's and the message's digests, flags and a counter.
#[test]
fn signatures_of_hardware_keys_are_good() {
    use ssh_key::private::Ed25519Keypair;
    use ssh_key::public::{KeyData, SkEd25519};
    let pair = Ed25519Keypair::from_seed(&[7; 32]);
    let data = ssh_key::SshSig::signed_data(NAMESPACE, ssh_key::HashAlg::Sha512, MESSAGE).unwrap();
    let trailer = [1, 0, 0, 0, 9];
    let sha = |bytes: &[u8]| *converge_model::Digest::of(bytes).as_bytes();
    let signed = [&sha(b"ssh:")[..], &trailer, &sha(&data)].concat();
    let raw: ssh_key::Signature = signature::Signer::sign(&pair, &signed);
    let algorithm = ssh_key::Algorithm::SkEd25519;
    let signature = ssh_key::Signature::new(algorithm, [raw.as_bytes(), &trailer].concat()).unwrap();
    let key = KeyData::SkEd25519(SkEd25519::new(pair.public, "ssh:"));
    let armored = ssh_key::SshSig::new(key.clone(), NAMESPACE, ssh_key::HashAlg::Sha512, signature).unwrap();
    let armored = armored.to_pem(ssh_key::LineEnding::LF).unwrap();
    let line = ssh_key::PublicKey::from(key).to_openssh().unwrap();
    let public = PublicKey::from_line(&line).unwrap();
    assert_eq!(sshsig::check(&armored, NAMESPACE, MESSAGE), Ok(public.clone()));
    assert!(matches!(sshsig::check(&armored, NAMESPACE, b"altered"), Err(Fault::Wrong(_))));
    // OpenSSH takes the same one.
    assert!(Desk::new().verifies(&public, &armored, NAMESPACE).status.success());
    let signers = AllowedSigners::of("alice", public.clone());
    assert!(signers.who(&public, NAMESPACE, Timestamp(0)).is_ok());
}
