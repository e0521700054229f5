//! What a run overwrote, put back by the program as it ships: what it prints, how it exits, what it keeps.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value as Json;

use crate::desk::{Desk, Ended, ONCE};

const RECIPE: &str = "[file.\"@/edited\"]\ncontent = 'new'\n[file.\"@/made\"]\ncontent = 'made'\n\
    [directory.\"@/dir\"]\npurge = true\n[file.\"@/private\"]\ncontent = 'hunter3'\n";

fn desk() -> Desk {
    let desk = Desk::new(RECIPE);
    for (name, text) in [("edited", "old"), ("dir/a", "a"), ("dir/sub/b", "b"), ("private", "hunter2")] {
        desk.file(&format!("out/{name}"), text);
    }
    std::fs::set_permissions(desk.path("out/private"), std::fs::Permissions::from_mode(0o600)).unwrap();
    desk
}

fn converged() -> Desk {
    let desk = desk();
    desk.once().with_code(0);
    desk
}

fn undo(desk: &Desk, arguments: &[&str]) -> Ended {
    desk.run(&[&["undo"], arguments].concat())
}

/// Everything in the directory that recipes write to, with what it holds.
fn everything(desk: &Desk) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    let mut open = vec![desk.path("out")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            found.push((path.display().to_string(), std::fs::read_to_string(&path).ok()));
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn it_shows_asks_and_puts_back() {
    let desk = desk();
    let before = everything(&desk);
    desk.once().with_code(0);
    let after = everything(&desk);
    let run = undo(&desk, &["--json"]).with_code(0).json()[0]["run"].as_str().unwrap().to_owned();
    let plan = undo(&desk, &[&run[..8], "--plan"]).with_code(0);
    for part in ["would update", "-new", "+old", "the next run of the policy test makes these changes again"] {
        assert!(plan.stdout.contains(part), "{part} in {}", plan.stdout);
    }
    assert!(!plan.stdout.contains('\x1b'), "colours in a pipe: {:?}", plan.stdout);
    undo(&desk, &["last"]).with_code(1).saying(&["nobody is there to be asked", "--yes"]);
    undo(&desk, &["last", "--json"]).with_code(1);
    assert_eq!(everything(&desk), after, "nothing is put back without a yes");
    let ended = undo(&desk, &["last", "--yes", "--json"]).with_code(0);
    assert_eq!(everything(&desk), before);
    let report = ended.json();
    assert_eq!((report["undoes"].as_str(), report["mode"].as_str()), (Some(run.as_str()), Some("apply")));
    assert!(!ended.stdout.contains("hunter"), "{}", ended.stdout);
    let kept = desk.run(&["report", "last", "--local", "--json"]).with_code(0).json();
    assert_eq!(kept["undoes"], report["undoes"]);
    // The undoing is undone, and a run of the policy finds nothing to do.
    undo(&desk, &["last", "--yes"]).with_code(0);
    assert_eq!(desk.once().with_code(0).json()["counts"]["updated"], Json::Null);
}

#[test]
fn what_was_touched_is_refused_and_the_rest_put_back() {
    let desk = converged();
    desk.file("out/edited", "by hand");
    let ended = undo(&desk, &["last", "--yes"]).with_code(2);
    assert!(ended.stdout.contains("it is not as the run left it (content); --force overwrites it"), "{}", ended.stdout);
    assert_eq!((desk.out("edited").as_deref(), desk.out("made")), (Some("by hand"), None));
    let run = undo(&desk, &["--json"]).json()[1]["run"].as_str().unwrap().to_owned();
    undo(&desk, &[&run, "--yes", "--force", "--resource", "/nowhere"])
        .with_code(1)
        .saying(&["overwrote nothing of it"]);
    undo(&desk, &[&run, "--yes", "--force"]).with_code(0);
    assert_eq!(desk.out("edited").as_deref(), Some("old"));
    undo(&desk, &["ffff", "--plan"]).with_code(1).saying(&["knows no such run", "converge undo"]);
    undo(&desk, &["xyz", "--plan"]).with_code(1).saying(&["is not a run"]);
}

#[test]
fn what_is_kept_is_roots_and_bounded() {
    let desk = desk();
    desk.file("config/agent.toml", "undo_runs = 2\nundo_file_bytes = 4\n");
    desk.once().with_code(0);
    let mode = |path: &str| desk.path(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("state/images"), mode("state/images/content")), (0o700, 0o700));
    for entry in std::fs::read_dir(desk.path("state/images/content")).unwrap().flatten() {
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let first = undo(&desk, &["--json"]).json()[0]["run"].as_str().unwrap().to_owned();
    let plan = undo(&desk, &["last", "--plan"]).with_code(0);
    assert!(plan.stdout.contains("private is not put back: it held 7 bytes"), "{}", plan.stdout);
    for text in ["1", "2", "3"] {
        desk.file("out/edited", text);
        desk.once().with_code(0);
    }
    assert_eq!(undo(&desk, &["--json"]).json().as_array().unwrap().len(), 2);
    assert_eq!(
        std::fs::read_dir(desk.path("state/images/content")).unwrap().count(),
        2,
        "of runs that went, nothing stays"
    );
    undo(&desk, &[&first, "--plan"]).with_code(1).saying(&["is not kept any more: the last 2 runs"]);
    // Nothing at all is kept where nobody wants that.
    std::fs::remove_dir_all(desk.path("state/images")).unwrap();
    desk.file("config/agent.toml", "undo_runs = 0\n");
    desk.file("out/edited", "4");
    desk.once().with_code(0);
    assert!(!desk.path("state/images").exists());
    undo(&desk, &["last", "--plan"]).with_code(1).saying(&["no run of this machine has anything to be undone"]);
}

#[test]
fn images_that_are_gone_or_spoilt_keep_nothing_else_from_working() {
    let spoil = |name: &str, text: Option<&[u8]>| {
        let desk = converged();
        let directory = desk.path("state/images").join(name);
        let mut files = std::fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path());
        for path in files.by_ref().filter(|path| path.is_file()) {
            match text {
                Some(text) => std::fs::write(path, text).unwrap(),
                None => std::fs::remove_file(path).unwrap(),
            }
        }
        desk
    };
    for text in [None, Some(&b""[..]), Some(b"garbage \xff"), Some(b"{}")] {
        // Without its document, a run cannot be undone, and says why; the policy goes on.
        let desk = spoil("", text);
        undo(&desk, &["last", "--plan"]).with_code(1);
        undo(&desk, &[]).with_code(0);
        desk.file("out/edited", "again");
        desk.once().with_code(0);
        undo(&desk, &["last", "--yes"]).with_code(0);
        assert_eq!(desk.out("edited").as_deref(), Some("again"));
        // Without a content, that content is refused, and nothing is put in its place.
        let desk = spoil("content", text);
        let ended = undo(&desk, &["last", "--yes"]).with_code(2);
        assert!(ended.stdout.contains("is not kept any more, or is damaged"), "{}", ended.stdout);
        assert_eq!((desk.out("edited").as_deref(), desk.out("made")), (Some("new"), None));
        desk.file("out/edited", "again");
        desk.once().with_code(0);
        assert_eq!(desk.out("edited").as_deref(), Some("new"));
    }
    // A directory in the way: nothing can be kept, so nothing that is there is overwritten.
    let desk = desk();
    desk.file("state/images", "in the way");
    let ended = desk.once().with_code(2);
    assert!(ended.stdout.contains("cannot be kept for `converge undo`"), "{}", ended.stdout);
    assert_eq!((desk.out("edited").as_deref(), desk.out("made").as_deref()), (Some("old"), None));
}

#[test]
fn a_run_that_was_killed_is_undone_before_any_other_saw_it() {
    let desk = Desk::new("[file.\"@/a\"]\ncontent = 'new'\n[execute.wait]\ncommand = \"touch @/begun; sleep 60\"\n");
    desk.file("out/a", "old");
    let process = desk.start(&ONCE);
    crate::desk::wait_for(&desk.path("out/begun"));
    process.signal(nix::sys::signal::Signal::SIGKILL);
    drop(process);
    assert_eq!(desk.out("a").as_deref(), Some("new"));
    let ended = undo(&desk, &["last", "--yes"]).with_code(0);
    assert!(ended.stdout.contains("not undone: execute[wait]: a command was run"), "{}", ended.stdout);
    assert_eq!(desk.out("a").as_deref(), Some("old"));
}
