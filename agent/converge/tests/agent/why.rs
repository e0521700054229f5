//! Where something comes from, and since when.

use std::process::Command;

use crate::desk::{Desk, Ended};
use crate::listener::{Listener, Trouble};

fn why(desk: &Desk, arguments: &[&str]) -> Ended {
    desk.run(&[&["why", "--json"], arguments].concat())
}

#[test]
fn the_revisions_of_the_store_say_since_when_something_is_so() {
    let desk = Desk::new("");
    let store = Listener::of(&desk);
    let page = |text: &str| format!("[file.\"@/page\"]\nmode = '0600'\ncontent = '{text}'\n");
    let file = format!("file[{}]", desk.path("out/page").display());
    for recipe in [
        String::new(),
        page("one"),
        page("two"),
        // Before and after the same, it is another thing in between.
        page("one"),
        page("two"),
        page("two") + "[file.\"@/other\"]\n",
        page("two") + "# more\n[file.\"@/other\"]\ncontent = 'x'\n",
        "[file.\"@/other\"]\n".to_owned() + &page("two"),
    ] {
        desk.recipe(&recipe);
        store.publish(&desk);
    }
    for (arguments, revision) in [
        (vec![file.as_str()], 5),
        (vec![&file, "content"], 5),
        (vec![&file, "mode"], 2),
        (vec![&file, "--line", "1"], 5),
    ] {
        let answer = why(&desk, &arguments).with_code(0).json();
        assert_eq!(answer["since"]["revision"], revision, "{arguments:?}: {answer:#}");
        assert_eq!(answer["since"]["commit"], format!("c{revision}"), "{arguments:?}");
        assert!(answer["since"]["or_longer"].is_null(), "{answer:#}");
    }
    // What it cannot look at, it says; and it ends.
    for trouble in [Trouble::Endless, Trouble::Rubbish, Trouble::ServerError] {
        store.trouble("/v1/policies/test/revisions?", trouble);
        let answer = why(&desk, &[&file]).with_code(0).json();
        assert!(
            answer["since"]["reason"].as_str().is_some_and(|reason| reason.contains(store.address())),
            "{answer:#}"
        );
    }
}

#[test]
fn a_line_leads_to_its_template() {
    let desk = Desk::new("[file.\"@/page\"]\ntemplate = 'page.j2'\n");
    desk.file(
        "cookbooks/test/templates/page.j2",
        "a\n{% for n in [1, 2] %}\nn {{ n }} {{ node.name }}\n{% endfor %}\n",
    );
    let file = format!("file[{}]", desk.path("out/page").display());
    let answer =
        why(&desk, &[&file, "--line", "3", "--node", "web", "--policy", "policies/test.toml"]).with_code(0).json();
    assert_eq!(answer["line"]["text"], "n 2 web");
    assert_eq!(answer["line"]["from"][0]["file"], "cookbooks/test/templates/page.j2");
    assert_eq!(answer["line"]["from"][0]["line"], 3);
    let beyond = why(&desk, &[&file, "--line", "9", "--policy", "policies/test.toml"]).with_code(1);
    assert!(beyond.stdout.contains("has 3 lines"), "{}", beyond.stdout);
}

#[test]
fn a_repository_under_git_says_since_which_commit() {
    let desk = Desk::new("[file.\"@/page\"]\nmode = '0600'\ntemplate = 'page.j2'\n[file.\"@/other\"]\n");
    desk.file("cookbooks/test/templates/page.j2", "one\n");
    let git = |arguments: &[&str]| {
        let who = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"];
        let output = Command::new("git").args(who).args(arguments).current_dir(desk.path("")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let since = |arguments: &[&str]| {
        let file = format!("file[{}]", desk.path("out/page").display());
        why(&desk, &[&[file.as_str(), "--policy", "policies/test.toml"], arguments].concat()).with_code(0).json()["since"].clone()
    };
    assert_eq!(since(&[])["known"], "unknown");
    git(&["init", "-q"]);
    git(&["add", "cookbooks", "policies", "converge.toml"]);
    git(&["commit", "-qm", "Begin"]);
    assert_eq!(since(&[])["subject"], "Begin");
    desk.file("cookbooks/test/templates/page.j2", "two\n");
    assert_eq!(since(&[])["known"], "not_committed");
    git(&["commit", "-qam", "Say more"]);
    assert_eq!(
        (since(&[])["subject"].clone(), since(&["mode"])["subject"].clone()),
        ("Say more".into(), "Begin".into())
    );
    desk.recipe("[file.\"@/page\"]\nmode = '0600'\ntemplate = 'page.j2'\n[file.\"@/other\"]\nmode = '0640'\n");
    git(&["commit", "-qam", "Change the other"]);
    assert_eq!(since(&["mode"])["subject"], "Begin");
}

#[test]
fn a_store_whose_lists_never_end_holds_nobody() {
    let desk = Desk::new("");
    let store = Listener::of(&desk);
    let access = desk.path("access.json").display().to_string();
    desk.file("access.json", store.access());
    for (command, path) in [("report", "/v1/reports"), ("nodes", "/v1/nodes")] {
        store.trouble(path, Trouble::Endless);
        let ended = desk.run(&[command, "--access-file", &access]).with_code(3);
        assert!(ended.stderr.contains("its pages lead nowhere"), "{command}: {}", ended.stderr);
    }
}
