//! Authors who sign, with a store of their own: keys in files and in an agent, co-signers, and OpenSSH as the judge.

use std::process::{Child, Command, Output, Stdio};

use serde_json::Value as Json;

use crate::desk::{Desk, Ended, wait_for};
use crate::machines::{ONCE, Store};

const POLICY: &str = "test";

/// A repository, its store, and the keys of two authors.
struct Workshop {
    desk: Desk,
    store: Store,
}

/// An `ssh-agent` that ends with the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Workshop {
    fn new() -> Self {
        let desk = Desk::new("[file.\"@/page\"]\ncontent = 'first'\n");
        for name in ["alice", "bob", "mallory"] {
            let made = ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name];
            assert!(Command::new("ssh-keygen").args(made).current_dir(desk.path("")).status().unwrap().success());
        }
        let line = |name: &str| {
            let key = std::fs::read_to_string(desk.path(&format!("{name}.pub"))).unwrap();
            format!("{name}@example.org namespaces=\"converge-revision\" {key}")
        };
        desk.file("allowed_signers", line("alice") + &line("bob"));
        let store = Store::start(&desk, "127.0.0.1:0");
        Self { desk, store }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.desk.command(arguments);
        command.env("CONVERGE_ACCESS_FILE", &self.store.access).env_remove("SSH_AUTH_SOCK");
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(&self.command(arguments).output().unwrap(), std::time::Duration::ZERO)
    }

    #[track_caller]
    fn publish(&self, arguments: &[&str]) -> Ended {
        self.run(&[&["publish", POLICY, "--group", "dev", "--json"], arguments].concat())
    }

    fn enroll(&self, threshold: &str) {
        let join = self.store.join(&self.desk, &["--threshold", threshold]);
        self.run(&["enroll", "--name", "web-1", &join]).with_code(0);
    }

    /// What OpenSSH says to a signature over what `converge sign --save` wrote.
    fn verify(&self, signer: &str, signature: &str) -> Output {
        let mut verify = Command::new("ssh-keygen");
        verify.args([
            "-Y",
            "verify",
            "-n",
            "converge-revision",
            "-f",
            "allowed_signers",
            "-I",
            signer,
            "-s",
            signature,
        ]);
        let manifest = std::fs::File::open(self.desk.path("saved/manifest.json")).unwrap();
        verify.current_dir(self.desk.path("")).stdin(manifest).output().unwrap()
    }
}

#[test]
fn two_authors_sign_and_a_node_wants_both_of_them() {
    let workshop = Workshop::new();
    let desk = &workshop.desk;
    workshop.publish(&[]).with_code(1).saying(&["the key to sign with", "--key FILE"]);
    workshop.publish(&["--key", "alice"]).with_code(0);
    workshop.enroll("2");
    let early = workshop.run(&ONCE).with_code(3);
    early.saying(&["1 of the 2 trusted signatures it needs (by alice@example.org)", "converge sign"]);
    assert_eq!(desk.out("page"), None);

    // Nobody signs what he does not have before him.
    desk.recipe("[file.\"@/page\"]\ncontent = 'other'\n");
    let other = workshop.run(&["sign", POLICY, "1", "--key", "bob"]).with_code(1);
    other.saying(&["what this repository compiles to", "--graph"]);
    desk.recipe("[file.\"@/page\"]\ncontent = 'first'\n");
    workshop.run(&["sign", POLICY, "1", "--key", "bob"]).with_code(0).saying(&["revision 1 for all groups is signed"]);
    workshop.run(&ONCE).with_code(0);
    assert_eq!(desk.out("page").as_deref(), Some("first"));

    // OpenSSH takes both signatures for what they are, and no other.
    workshop.run(&["sign", POLICY, "1", "--save", "saved"]).with_code(0).saying(&["ssh-keygen -Y sign"]);
    for (signer, signature, is_good) in [
        ("alice@example.org", "saved/manifest.json.1.sig", true),
        ("bob@example.org", "saved/manifest.json.2.sig", true),
        ("alice@example.org", "saved/manifest.json.2.sig", false),
    ] {
        let verified = workshop.verify(signer, signature);
        assert_eq!(verified.status.success(), is_good, "{signer} {signature}: {verified:?}");
    }

    // A way back is a new revision. One that is for other groups is refused where it is put into force.
    desk.recipe("[file.\"@/page\"]\ncontent = 'second'\n");
    let second = workshop.publish(&["--key", "alice", "--only", "dev", "--only", "prod"]).with_code(0).json();
    assert_eq!(second["revision"]["manifest"]["groups"], serde_json::json!(["dev", "prod"]));
    workshop.publish(&["--key", "alice", "--only", "prod"]).with_code(1).saying(&["group dev", "--only"]);

    // What OpenSSH signed elsewhere is as good.
    workshop.run(&["sign", POLICY, "2", "--save", "saved"]).with_code(0);
    for (key, signature, code, said) in [
        ("bob", "saved/manifest.json.1.sig", 0, "is signed with"),
        ("mallory", "alice", 1, "it is not a signature"),
        ("mallory", "saved/absent", 1, "it is not there"),
        ("bob", "saved/manifest.json.sig", 0, "revision 2 for dev, prod is signed with"),
    ] {
        let sign = ["-q", "-Y", "sign", "-n", "converge-revision", "-f", key, "saved/manifest.json"];
        let _ = std::fs::remove_file(desk.path("saved/manifest.json.sig"));
        assert!(Command::new("ssh-keygen").args(sign).current_dir(desk.path("")).status().unwrap().success());
        workshop.run(&["sign", POLICY, "2", "--signature", signature]).with_code(code).saying(&[said]);
    }
    workshop.run(&ONCE).with_code(0);
    assert_eq!(desk.out("page").as_deref(), Some("second"));
}

#[test]
fn an_author_signs_with_a_key_that_an_agent_has() {
    let workshop = Workshop::new();
    let socket = workshop.desk.path("agent");
    let mut agent = Command::new("ssh-agent");
    let _agent = Agent(agent.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap());
    wait_for(&socket);
    let publish = |arguments: &[&str]| -> Ended {
        let mut command = workshop.command(&[&["publish", POLICY, "--group", "dev"], arguments].concat());
        Ended::of(&command.env("SSH_AUTH_SOCK", &socket).output().unwrap(), std::time::Duration::ZERO)
    };
    publish(&[]).with_code(1).saying(&["the SSH agent has no key"]);
    let add = |name: &str| {
        let mut add = Command::new("ssh-add");
        add.arg("-q").arg(workshop.desk.path(name)).env("SSH_AUTH_SOCK", &socket);
        assert!(add.status().unwrap().success());
        // From here on only the agent has it.
        std::fs::remove_file(workshop.desk.path(name)).unwrap();
    };
    add("alice");
    publish(&[]).with_code(0);
    add("mallory");
    publish(&[]).with_code(1).saying(&["the SSH agent has 2 keys", "SHA256:"]);
    publish(&["--key", "bob.pub"]).with_code(1).saying(&["the agent has no key SHA256:"]);
    publish(&["--key", "mallory.pub"]).with_code(0).saying(&["is not trusted by this repository's allowed_signers"]);

    workshop.enroll("1");
    workshop.run(&ONCE).with_code(0);
    assert_eq!(workshop.desk.out("page").as_deref(), Some("first"));
}

#[test]
fn a_store_that_lost_revisions_goes_on_above_what_nodes_ran() {
    let workshop = Workshop::new();
    let page = |text: &str| workshop.desk.recipe(&format!("[file.\"@/page\"]\ncontent = '{text}'\n"));
    let newest = |ended: Ended| -> Json { ended.with_code(0).json()["revision"]["serial"].clone() };
    workshop.publish(&["--key", "alice"]).with_code(0);
    // What is equal is not published again; what is not, under the next serial.
    assert_eq!(newest(workshop.publish(&["--key", "alice"])), 1);
    page("second");
    assert_eq!(newest(workshop.publish(&["--key", "bob"])), 2);
    page("third");
    workshop.publish(&["--key", "alice", "--serial", "2"]).with_code(1).saying(&["the next one is 3"]);
    assert_eq!(newest(workshop.publish(&["--key", "alice", "--serial", "40"])), 40);
    page("fourth");
    assert_eq!(newest(workshop.publish(&["--key", "alice"])), 41);

    // Whoever can write to the store does not choose what authors go on from.
    workshop.publish(&["--key", "mallory", "--serial", "1000"]).with_code(0);
    page("fifth");
    let misled = workshop.publish(&["--key", "alice"]).with_code(3);
    misled.saying(&["cannot build on revision 1000", "nobody signed it whom allowed_signers trusts", "--serial"]);
    assert_eq!(newest(workshop.publish(&["--key", "alice", "--serial", "1001"])), 1001);
}
