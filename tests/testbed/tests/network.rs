//! Machines of one network reach each other and nothing else.

use converge_testbed::{Machine, MachineOptions, Network, Result, require_machine};

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn machines_of_one_network_reach_each_other() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let network = Network::create()?;
    let one = Machine::boot(MachineOptions::named("one").network(&network))?;
    let two = Machine::boot(MachineOptions::named("two").network(&network))?;
    let two_address = two.address().unwrap().to_string();
    let ping = |address: &str| one.run(["ping", "-c1", "-W2", address]);

    ping(&two_address)?.assert_ok();
    ping(&network.address().to_string())?.assert_ok();
    let greeting = format!("exec 3<>/dev/tcp/{two_address}/22; head -c 4 <&3");
    network.command(["bash", "-c", &greeting]).run()?.assert_text("SSH-");
    // No way out of the network.
    assert!(!ping("192.0.2.1")?.success());
    // Each is a machine of its own: one's sshd is not two's.
    two.run(["systemctl", "stop", "ssh"])?.assert_ok();
    one.run(["systemctl", "is-active", "ssh"])?.assert_text("active");

    two.set_cable(false)?;
    assert!(!ping(&two_address)?.success());
    two.set_cable(true)?;
    ping(&two_address)?.assert_ok();
    Ok(())
}
