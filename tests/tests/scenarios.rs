//! Every scenario of `tests/scenarios` ends as it is told there. `UPDATE=1` writes down how it ends now.

use std::path::{Path, PathBuf};

use converge_tests::scenario::{check, play};

#[test]
fn every_scenario_ends_as_it_is_told() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "txt"));
    paths.sort();
    assert!(paths.len() >= 20, "only {} scenarios in {}", paths.len(), directory.display());
    let failed: Vec<String> = paths
        .iter()
        .filter_map(|path| {
            let checked =
                std::panic::catch_unwind(|| check(path)).unwrap_or_else(|_| Err("it panicked, see above".into()));
            checked.err().map(|difference| format!("{}\n{difference}", path.display()))
        })
        .collect();
    assert!(failed.is_empty(), "{}\nUPDATE=1 writes down how it is now.", failed.join("\n"));
}

#[test]
fn a_scenario_that_ends_otherwise_is_written_anew() {
    let told = "A file.\n\n=== recipe\n[file.\"/etc/motd\"]\ncontent = \"hello\\n\"\n";
    let written = play(told);
    assert!(written.starts_with(told), "{written}");
    assert!(written.contains("=== run\nupdated      file[/etc/motd]\n"), "{written}");
    assert!(written.ends_with("=== again\nnothing to do\n"), "{written}");
    assert_eq!(play(&written), written, "what was written down is what comes of it");
    let changed = written.replacen("hello", "good day", 1);
    assert_ne!(play(&changed), changed, "what comes of it is not what was written down");
}
