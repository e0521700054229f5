//! The daemon: when it converges, and what it does when it is told to.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGHUP, SIGTERM, SIGUSR1};

use crate::desk::Desk;

/// Waits until the file that the policy declares is there.
#[track_caller]
fn wait_until_mended(desk: &Desk) {
    let begun = Instant::now();
    while desk.out("page").is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing was mended");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_converges_when_it_is_told_and_as_often_as_it_is_told() {
    let desk = Desk::new("[file.\"@/page\"]\ncontent = 'one'\n");
    desk.file("config/agent.toml", "interval = '1000h'\n");
    let daemon = desk.start(&["--policy", "policies/test.toml"]);
    let remove = || std::fs::remove_file(desk.path("out/page")).unwrap();
    wait_until_mended(&desk);
    for _ in 0..2 {
        remove();
        daemon.signal(SIGUSR1);
        wait_until_mended(&desk);
    }
    // What is wrong changes nothing.
    desk.file("config/agent.toml", "interval = 'often'\n");
    daemon.signal(SIGHUP);
    desk.file("config/agent.toml", "interval = '1s'\n");
    daemon.signal(SIGHUP);
    for _ in 0..3 {
        remove();
        wait_until_mended(&desk);
    }
    daemon.signal(SIGTERM);
    let ended = daemon.wait().with_code(0);
    assert!(ended.stderr.contains("converging every 1s"), "{}", ended.stderr);
}
