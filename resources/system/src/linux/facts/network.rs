//! Interfaces, addresses, and the way out.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use converge_model::Value;

use super::{Source, integer, map, text};

/// Flags of an address: it changes by itself, or is not in use yet (IFA_F_TEMPORARY, IFA_F_TENTATIVE).
const PASSING: u8 = 0x01 | 0x40;

/// Flags of a route: it is up; it leads over a gateway (RTF_UP, RTF_GATEWAY).
const UP: u32 = 1;
const GATEWAY: u32 = 2;

/// The interfaces with their addresses, and where packets go for which there is no better route.
pub(super) fn network(source: &Source<'_>) -> Value {
    let mut addresses: BTreeMap<String, (Vec<String>, Vec<String>)> = BTreeMap::new();
    for (interface, address) in ipv4_addresses() {
        addresses.entry(interface).or_default().0.push(address);
    }
    for (interface, address) in ipv6_addresses(&source.text("proc/net/if_inet6").unwrap_or_default()) {
        addresses.entry(interface).or_default().1.push(address);
    }
    let mut interfaces = BTreeMap::new();
    for name in source.names("sys/class/net") {
        // The host's ends of containers come and go, under names that mean nothing.
        if name.starts_with("veth") || name == "bonding_masters" {
            continue;
        }
        let attribute = |attribute: &str| source.text(&format!("sys/class/net/{name}/{attribute}"));
        let (mut ipv4, mut ipv6) = addresses.remove(&name).unwrap_or_default();
        ipv4.sort();
        ipv6.sort();
        let interface = map([
            ("mac", text(attribute("address").filter(|mac| mac.contains(':') && mac != "00:00:00:00:00:00"))),
            ("mtu", integer(attribute("mtu").and_then(|mtu| mtu.parse::<i64>().ok()))),
            ("ipv4", Value::from(ipv4)),
            ("ipv6", Value::from(ipv6)),
        ]);
        interfaces.insert(name, interface);
    }
    let interfaces = Value::Map(interfaces);
    let four = ipv4_default(&source.text("proc/net/route").unwrap_or_default());
    let six = ipv6_default(&source.text("proc/net/ipv6_route").unwrap_or_default());
    let first = |route: &Option<Route>, family: &str| {
        let list = interfaces.lookup(&route.as_ref()?.interface)?.lookup(family)?.as_list()?.first()?;
        list.as_str()?.split('/').next().map(str::to_owned)
    };
    map([
        ("ipv4", text(first(&four, "ipv4"))),
        ("ipv6", text(first(&six, "ipv6"))),
        ("gateway", text(four.as_ref().and_then(|route| route.gateway.clone()))),
        ("gateway6", text(six.as_ref().and_then(|route| route.gateway.clone()))),
        ("interface", text(four.or(six).map(|route| route.interface))),
        ("interfaces", interfaces),
    ])
}

/// The whole name of the machine: its own where it has dots, else what /etc/hosts has for it. No name server is asked.
pub(super) fn fqdn(source: &Source<'_>, name: &str) -> String {
    if name.contains('.') {
        return name.to_owned();
    }
    let hosts = source.text("etc/hosts").unwrap_or_default();
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let whole = lines
        .map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>())
        .filter(|names| names.contains(&name))
        .find_map(|names| names.into_iter().find(|other| other.split('.').next() == Some(name) && other.contains('.')));
    whole.unwrap_or(name).to_owned()
}

fn ipv4_addresses() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for interface in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        let address =
            interface.address.as_ref().and_then(|address| address.as_sockaddr_in()).map(|address| address.ip());
        let mask = interface.netmask.as_ref().and_then(|mask| mask.as_sockaddr_in()).map(|mask| mask.ip());
        if let Some(address) = address {
            let bits = mask.map_or(32, |mask| u32::from(mask).count_ones());
            found.push((interface.interface_name, format!("{address}/{bits}")));
        }
    }
    found
}

/// The addresses in /proc/net/if_inet6 that stay and mean something beyond their link.
fn ipv6_addresses(table: &str) -> Vec<(String, String)> {
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [address, _, bits, scope, flags, interface] = fields[..] else { return None };
        let hex = |text: &str| u8::from_str_radix(text, 16).ok();
        let address = Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?);
        let keep = hex(scope)? != 0x20 && hex(flags)? & PASSING == 0;
        keep.then(|| Some((interface.to_owned(), format!("{address}/{}", hex(bits)?)))).flatten()
    };
    table.lines().filter_map(parse).collect()
}

/// Where packets leave.
#[derive(Debug, PartialEq, Eq)]
struct Route {
    interface: String,
    gateway: Option<String>,
}

/// The default route with the lowest metric in /proc/net/route.
fn ipv4_default(table: &str) -> Option<Route> {
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [interface, destination, gateway, flags, _, _, metric, mask, ..] = fields[..] else { return None };
        let hex = |text: &str| u32::from_str_radix(text, 16).ok();
        if hex(destination)? != 0 || hex(mask)? != 0 || hex(flags)? & UP == 0 {
            return None;
        }
        // The kernel prints the bytes of the address as a number of this machine.
        let address = Ipv4Addr::from(hex(gateway)?.to_ne_bytes());
        let gateway = (!address.is_unspecified()).then(|| address.to_string());
        Some((metric.parse::<u32>().ok()?, Route { interface: interface.to_owned(), gateway }))
    };
    table.lines().skip(1).filter_map(parse).min_by_key(|(metric, _)| *metric).map(|(_, route)| route)
}

/// The default route with the lowest metric in /proc/net/ipv6_route.
fn ipv6_default(table: &str) -> Option<Route> {
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [destination, bits, _, _, gateway, metric, _, _, flags, interface] = fields[..] else { return None };
        let hex = |text: &str| u32::from_str_radix(text, 16).ok();
        let is_default = hex(bits)? == 0 && destination.bytes().all(|digit| digit == b'0');
        if !is_default || hex(flags)? & (UP | GATEWAY) != UP | GATEWAY || interface == "lo" {
            return None;
        }
        let gateway = Ipv6Addr::from(u128::from_str_radix(gateway, 16).ok()?).to_string();
        Some((hex(metric)?, Route { interface: interface.to_owned(), gateway: Some(gateway) }))
    };
    table.lines().filter_map(parse).min_by_key(|(metric, _)| *metric).map(|(_, route)| route)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_and_addresses_are_read_from_the_kernels_tables() {
        let gateway = u32::from_ne_bytes([192, 0, 2, 1]);
        let table = format!(
            "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
             wlan0\t00000000\t{gateway:08X}\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
             eth0\t00000000\t{gateway:08X}\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
             eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        );
        let route = ipv4_default(&table).unwrap();
        assert_eq!((route.interface.as_str(), route.gateway.as_deref()), ("eth0", Some("192.0.2.1")));
        assert_eq!(ipv4_default("Iface\n"), None);

        let table = "fe8000000000000000fc00fffe000001 04 40 20 80 eth0\nfd000000000000000000000000000002 04 40 00 82 eth0\n\
                     fd000000000000000000000000000003 04 40 00 01 eth0\n00000000000000000000000000000001 01 80 10 80 lo\n";
        assert_eq!(
            ipv6_addresses(table),
            [("eth0".to_owned(), "fd00::2/64".to_owned()), ("lo".to_owned(), "::1/128".to_owned())]
        );
        let zero = "0".repeat(32);
        let table = format!(
            "{zero} 00 {zero} 00 fd000000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 lo\n"
        );
        assert_eq!(ipv6_default(&table).unwrap().gateway.as_deref(), Some("fd00::1"));
    }
}
