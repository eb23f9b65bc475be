//! Ports: free for the node that would start, or held by the one that runs, and
//! by whom else.

use super::{Finding, NodeState, Scene};
use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

/// Processes that are looked at.
const PROCESSES_MAX: usize = 20_000;
/// The state of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// Which kind of port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Udp,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// One port that a node needs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Needed {
    kind: Kind,
    port: u16,
    /// The option that changes it.
    option: &'static str,
}

/// Whether it can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Holding {
    Free,
    /// By a process with this number and name, where the system tells.
    Held(Option<(u32, String)>),
    /// Not to be had for another reason.
    Refused(String),
}

/// `ports`.
pub(super) fn ports(scene: &Scene<'_>) -> Finding {
    if let Some(running) = scene.node.running() {
        let mut addresses = running.status.addresses.clone();
        addresses.push(running.api.url.clone());
        let held = listened(&addresses, &running.status.data_addresses, is_here)
            .into_iter()
            .map(|needed| {
                let holding = look(&needed, scene.wishes.listen);
                (needed, holding)
            })
            .collect::<Vec<_>>();
        return judge_running(&held, running.api.pid);
    }
    if matches!(scene.node, NodeState::Starting | NodeState::Silent(..)) {
        return Finding::skip("a process holds the home and does not say which ports it has");
    }
    let wishes = scene.wishes;
    let needed = [
        (Kind::Udp, wishes.p2p_port, "--p2p-port", wishes.listen),
        (Kind::Tcp, wishes.p2p_port, "--p2p-port", wishes.listen),
        (Kind::Udp, wishes.data_port, "--data-port", wishes.listen),
        (
            Kind::Tcp,
            wishes.http_port,
            "--http-port",
            wishes.http_listen,
        ),
    ];
    let looked: Vec<(Needed, Holding)> = needed
        .into_iter()
        .filter(|(_, port, ..)| *port != 0)
        .map(|(kind, port, option, ip)| {
            let needed = Needed { kind, port, option };
            let holding = look(&needed, ip);
            (needed, holding)
        })
        .collect();
    judge_wanted(&looked)
}

fn judge_wanted(looked: &[(Needed, Holding)]) -> Finding {
    let mut evidence = Vec::new();
    let mut fix = None;
    for (needed, holding) in looked {
        let Needed { kind, port, option } = needed;
        match holding {
            Holding::Free => {}
            Holding::Held(holder) => {
                let by = holder.as_ref().map_or_else(
                    || "another process".to_owned(),
                    |(pid, name)| format!("process {pid} ({name})"),
                );
                evidence.push(format!("{kind} {port} is held by {by}"));
                fix.get_or_insert_with(|| {
                    format!("stop it, or start with another port: {option} PORT (0 any); --instance N shifts all ports")
                });
            }
            Holding::Refused(reason) => {
                evidence.push(format!("{kind} {port}: {reason}"));
                fix.get_or_insert_with(|| {
                    format!("{option} takes another port, --listen another address")
                });
            }
        }
    }
    if let Some(fix) = fix {
        return Finding::fail(evidence.join("; "), fix);
    }
    let free: Vec<String> = looked
        .iter()
        .map(|(needed, _)| format!("{} {}", needed.kind, needed.port))
        .collect();
    if free.is_empty() {
        Finding::pass("any free port is taken")
    } else {
        Finding::pass(format!("free: {}", free.join(", ")))
    }
}

fn judge_running(looked: &[(Needed, Holding)], own: u32) -> Finding {
    for (Needed { kind, port, .. }, holding) in looked {
        match holding {
            Holding::Held(Some((pid, name))) if *pid != own => {
                return Finding::fail(
                    format!("the node names {kind} {port}, and process {pid} ({name}) holds it"),
                    "start the node again; if this stays, give it other ports",
                );
            }
            Holding::Free => {
                return Finding::fail(
                    format!("the node names {kind} {port}, and nobody listens there"),
                    "start the node again; its log says what it could not bind",
                );
            }
            Holding::Held(_) | Holding::Refused(_) => {}
        }
    }
    let held: Vec<String> = looked
        .iter()
        .map(|(needed, _)| format!("{} {}", needed.kind, needed.port))
        .collect();
    Finding::pass(format!("held by this node: {}", held.join(", ")))
}

/// Whether an address is one of this machine, and not what a router maps to it.
fn is_here(ip: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
}

/// The ports of this machine in what a node says of itself.
fn listened(
    addresses: &[String],
    data_addresses: &[String],
    is_here: fn(IpAddr) -> bool,
) -> Vec<Needed> {
    let mut ports: Vec<Needed> = Vec::new();
    let mut add = |kind, port: Option<u16>| {
        let needed = port.map(|port| Needed {
            kind,
            port,
            option: "",
        });
        if let Some(needed) = needed.filter(|needed| !ports.contains(needed)) {
            ports.push(needed);
        }
    };
    for address in addresses {
        if let Some(authority) = address.strip_prefix("http://") {
            let port = authority.rsplit(':').next();
            add(Kind::Tcp, port.and_then(|port| port.parse().ok()));
            continue;
        }
        let parts: Vec<&str> = address.split('/').collect();
        let ip = parts.get(2).and_then(|ip| ip.parse::<IpAddr>().ok());
        // The ports of a relay are those of another machine.
        if parts.contains(&"p2p-circuit") || !ip.is_some_and(is_here) {
            continue;
        }
        for pair in parts.windows(2) {
            match pair {
                ["udp", port] => add(Kind::Udp, port.parse().ok()),
                ["tcp", port] => add(Kind::Tcp, port.parse().ok()),
                _ => {}
            }
        }
    }
    for address in data_addresses {
        let address = address.parse::<SocketAddr>().ok();
        let address = address.filter(|address| is_here(address.ip()));
        add(Kind::Udp, address.map(|address| address.port()));
    }
    ports
}

fn look(needed: &Needed, ip: IpAddr) -> Holding {
    let address = SocketAddr::new(ip, needed.port);
    let bound = match needed.kind {
        Kind::Tcp => TcpListener::bind(address).map(drop),
        Kind::Udp => UdpSocket::bind(address).map(drop),
    };
    match bound {
        Ok(()) => Holding::Free,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Holding::Held(holder(needed.kind, needed.port))
        }
        Err(error) => Holding::Refused(error.to_string()),
    }
}

/// The process that holds a port, where `/proc` tells.
fn holder(kind: Kind, port: u16) -> Option<(u32, String)> {
    let tables = match kind {
        Kind::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Kind::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let inodes: Vec<String> = tables
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| inodes_at(&table, kind, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    processes.take(PROCESSES_MAX).find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        has_any(&entry.path().join("fd"), &inodes)?;
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        Some((pid, name.trim().to_owned()))
    })
}

/// Whether a process has one of these sockets open.
fn has_any(descriptors: &Path, sockets: &[String]) -> Option<()> {
    let mut open = std::fs::read_dir(descriptors).ok()?.flatten();
    open.find_map(|descriptor| {
        let target = std::fs::read_link(descriptor.path()).ok()?;
        let target = target.to_str()?;
        sockets.iter().any(|socket| socket == target).then_some(())
    })
}

/// The inodes of sockets bound to a port, from a table of `/proc/net`.
fn inodes_at(table: &str, kind: Kind, port: u16) -> Vec<u64> {
    let wanted = format!("{port:04X}");
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = fields.get(1)?.rsplit_once(':')?;
        let is_listening = kind == Kind::Udp || *fields.get(3)? == LISTENING;
        let inode: u64 = fields.get(9)?.parse().ok()?;
        (local == wanted && is_listening && inode != 0).then_some(inode)
    };
    table.lines().skip(1).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn tcp(port: u16) -> Needed {
        Needed {
            kind: Kind::Tcp,
            port,
            option: "--http-port",
        }
    }

    #[test]
    fn a_taken_port_names_who_has_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let holding = look(&tcp(port), "127.0.0.1".parse().unwrap());
        let finding = judge_wanted(&[(tcp(port), holding.clone())]);
        assert_eq!(finding.verdict, Verdict::Fail);
        assert!(finding.fix.unwrap().contains("--http-port"));
        #[cfg(target_os = "linux")]
        {
            let Holding::Held(Some((pid, _))) = holding else {
                panic!("{holding:?}");
            };
            assert_eq!(pid, std::process::id());
        }
        drop(listener);
        assert_eq!(
            look(&tcp(port), "127.0.0.1".parse().unwrap()),
            Holding::Free
        );
    }

    #[test]
    fn the_ports_of_a_node_are_its_own() {
        let own = Holding::Held(Some((7, "talkoot".to_owned())));
        let judged = |holding| judge_running(&[(tcp(1), holding)], 7).verdict;
        assert_eq!(judged(own), Verdict::Pass);
        assert_eq!(judged(Holding::Held(None)), Verdict::Pass);
        assert_eq!(
            judged(Holding::Held(Some((8, "x".to_owned())))),
            Verdict::Fail
        );
        assert_eq!(judged(Holding::Free), Verdict::Fail);
        let addresses = [
            "/ip4/10.0.0.1/udp/7470/quic-v1/p2p/x".to_owned(),
            "/ip4/127.0.0.1/udp/7470/quic-v1/p2p/x".to_owned(),
            "/ip4/127.0.0.1/tcp/7470/p2p/x".to_owned(),
            "/ip4/192.0.2.1/udp/9/quic-v1/p2p/x".to_owned(),
            "/ip4/127.0.0.1/udp/8/quic-v1/p2p/x/p2p-circuit/p2p/y".to_owned(),
            "http://127.0.0.1:7472".to_owned(),
        ];
        let ports = listened(&addresses, &["10.0.0.1:7471".to_owned()], |ip| {
            ip != IpAddr::from([192, 0, 2, 1])
        });
        let shown: Vec<String> = ports
            .iter()
            .map(|n| format!("{}{}", n.kind, n.port))
            .collect();
        assert_eq!(shown, ["udp7470", "tcp7470", "tcp7472", "udp7471"]);
    }
}
