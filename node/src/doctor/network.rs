//! What is between this node and others: datagrams, firewalls, clocks, and which
//! layers nobody serves.

use super::running::{PeerFacts, needs_a_node};
use super::{Finding, Scene};
use crate::api::{ModelView, StatusView};
use crate::commands::output;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

/// How long a datagram to ourselves may take.
const ECHO: Duration = Duration::from_millis(500);
/// An address of documentation: asked for the way to it, never sent to.
const FAR_AWAY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);
/// Clocks that differ by more than this are told, ms.
const SKEW_WARN_MS: u64 = 10_000;
/// Clocks that differ by more than this break offers and orders, ms.
const SKEW_FAIL_MS: u64 = 60_000;
/// No clock was before, milliseconds since 1970: 2026 began.
const YEAR_MS_MIN: u64 = 1_767_225_600_000;
/// No clock is after: 2100 begins.
const YEAR_MS_MAX: u64 = 4_102_444_800_000;

/// `udp`.
pub(super) fn udp(_scene: &Scene<'_>) -> Finding {
    let own = own_address();
    let echoes = std::iter::once(IpAddr::from(Ipv4Addr::LOCALHOST))
        .chain(own)
        .map(|ip| (ip, echo(ip)))
        .collect::<Vec<_>>();
    judge_udp(&echoes)
}

fn judge_udp(echoes: &[(IpAddr, Result<(), String>)]) -> Finding {
    let failed = echoes.iter().find_map(|(ip, echo)| {
        let reason = echo.as_ref().err()?;
        Some(format!("a datagram to {ip} did not come back: {reason}"))
    });
    if let Some(evidence) = failed {
        return Finding::fail(
            evidence,
            "a firewall on this machine drops udp: allow the ports of `talkoot status`",
        );
    }
    let ips: Vec<String> = echoes.iter().map(|(ip, _)| ip.to_string()).collect();
    let rest = if echoes.len() == 1 {
        "; this machine has no way to other networks"
    } else {
        ""
    };
    Finding::pass(format!("datagrams arrive at {}{rest}", ips.join(" and ")))
}

/// The address from which this machine would reach others.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // Nothing is sent: this only asks for the way.
    socket.connect(FAR_AWAY).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
}

fn echo(ip: IpAddr) -> Result<(), String> {
    const HELLO: &[u8] = b"talkoot doctor";
    let sent = || {
        let to = UdpSocket::bind((ip, 0))?;
        to.set_read_timeout(Some(ECHO))?;
        let from = UdpSocket::bind((ip, 0))?;
        from.send_to(HELLO, to.local_addr()?)?;
        let mut buffer = [0; 64];
        let (length, _) = to.recv_from(&mut buffer)?;
        Ok::<_, std::io::Error>(buffer.get(..length) == Some(HELLO))
    };
    match sent() {
        Ok(true) => Ok(()),
        Ok(false) => Err("something else came".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Peers from which on it means something that none of them came by itself.
const PEERS_TO_JUDGE: usize = 3;

/// `inbound`.
pub(super) fn inbound(scene: &Scene<'_>) -> Finding {
    let Some(running) = scene.node.running() else {
        return needs_a_node();
    };
    let genesis = scene.genesis.as_ref().ok().and_then(Option::as_ref);
    let has_ticket = genesis.is_some_and(|genesis| scene.home.ticket_path(genesis.id()).exists());
    let expects_peers = has_ticket || !scene.wishes.bootstrap.is_empty();
    judge_inbound(&running.peers, expects_peers, &firewalls(Path::new("/")))
}

fn judge_inbound(peers: &[PeerFacts], expects_peers: bool, firewalls: &[&str]) -> Finding {
    let advice = || {
        let ports = "the udp ports of `talkoot status` (7470 and 7471 by default)";
        if firewalls.is_empty() {
            format!("forward {ports} to this machine where a router is between")
        } else {
            format!("allow {ports}: {}", firewalls.join("; "))
        }
    };
    if peers.is_empty() && expects_peers {
        return Finding::warn("no peer is connected", advice());
    }
    if peers.is_empty() {
        return Finding::skip("alone: no peer yet, and none is named");
    }
    let directions: Vec<&str> = peers
        .iter()
        .filter_map(|peer| peer.direction.as_deref())
        .collect();
    let inbound = directions
        .iter()
        .filter(|direction| **direction == "inbound")
        .count();
    if directions.is_empty() {
        return Finding::skip("the node does not say who dialled whom");
    }
    let evidence = format!("{inbound} of {} peers came by themselves", peers.len());
    if inbound > 0 {
        Finding::pass(evidence)
    } else if directions.len() < PEERS_TO_JUDGE {
        // Of two nodes that find each other, either may dial first.
        Finding::skip(format!("{evidence}: too few to tell"))
    } else {
        Finding::warn(
            format!("{evidence}: perhaps nobody can reach this node"),
            advice(),
        )
    }
}

/// What this machine's firewalls would be told, as far as their files show them.
fn firewalls(root: &Path) -> Vec<&'static str> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let mut found = Vec::new();
    if read("etc/ufw/ufw.conf")
        .lines()
        .any(|line| line.trim() == "ENABLED=yes")
    {
        found.push("ufw allow 7470 && ufw allow 7471/udp");
    }
    if root.join("run/firewalld").exists() {
        found.push("firewall-cmd --permanent --add-port=7470-7471/udp && firewall-cmd --reload");
    }
    let tables = read("etc/nftables.conf");
    if tables
        .lines()
        .any(|line| line.trim_start().starts_with("type filter hook input"))
    {
        found.push("in /etc/nftables.conf: udp dport { 7470, 7471 } accept");
    }
    found
}

/// `clock`.
pub(super) fn clock(scene: &Scene<'_>) -> Finding {
    let peers = scene
        .node
        .running()
        .map_or(&[][..], |running| &running.peers);
    let offsets: Vec<i64> = peers
        .iter()
        .filter_map(|peer| peer.clock_offset_ms)
        .collect();
    let is_synchronised = [
        "/run/systemd/timesync/synchronized",
        "/var/lib/systemd/timesync/clock",
        "/var/lib/chrony/drift",
        "/var/lib/chrony/chrony.drift",
        "/var/lib/ntpsec/ntp.drift",
        "/var/lib/ntp/ntp.drift",
    ];
    let is_kept = is_synchronised.iter().any(|path| Path::new(path).exists());
    judge_clock(scene.now_ms, &offsets, is_kept)
}

fn judge_clock(now_ms: u64, offsets_ms: &[i64], is_kept: bool) -> Finding {
    const FIX: &str = "set the clock: `timedatectl set-ntp true`, or whatever keeps time here; if \
                       this clock is right, tell the owners of the others";
    let said = crate::units::utc(now_ms);
    if !(YEAR_MS_MIN..YEAR_MS_MAX).contains(&now_ms) {
        return Finding::fail(format!("this clock says {said} UTC"), FIX);
    }
    let kept = if is_kept {
        "a time service keeps it"
    } else {
        "no time service is seen"
    };
    let mut sorted = offsets_ms.to_vec();
    sorted.sort_unstable();
    let Some(median) = sorted.get(sorted.len() / 2) else {
        return Finding::pass(format!("{said} UTC; {kept}; no peer to compare it with"));
    };
    let (skew, count) = (median.unsigned_abs(), sorted.len());
    let side = if *median > 0 { "behind" } else { "ahead of" };
    let seconds = skew / 1000;
    let peers = if count == 1 { "peer" } else { "peers" };
    let evidence = format!("{seconds} s {side} {count} {peers} (the median); {kept}");
    if skew >= SKEW_FAIL_MS {
        Finding::fail(evidence, FIX)
    } else if skew >= SKEW_WARN_MS {
        Finding::warn(evidence, FIX)
    } else {
        Finding::pass(evidence)
    }
}

/// `coverage`.
pub(super) fn coverage(scene: &Scene<'_>) -> Finding {
    match scene.node.running() {
        None => needs_a_node(),
        Some(running) => judge_coverage(&running.status),
    }
}

/// A gap in what this node helps to serve, or everywhere, fails.
fn judge_coverage(status: &StatusView) -> Finding {
    if let Some(loading) = &status.loading {
        return Finding::skip(format!("still {loading}"));
    }
    if status.models.is_empty() {
        return Finding::warn(
            "nobody serves a model",
            "`talkoot up` without --no-serve serves the demo model; `--model` another",
        );
    }
    let gaps = |model: &&ModelView| !output::gaps(&model.coverage).is_empty();
    let broken: Vec<&ModelView> = status.models.iter().filter(gaps).collect();
    let Some(first) = broken.first() else {
        let names: Vec<&str> = status
            .models
            .iter()
            .map(|model| model.name.as_str())
            .collect();
        return Finding::pass(format!("every layer is served of {}", names.join(", ")));
    };
    let shown = broken.iter().map(|model| {
        let missing = output::gaps(&model.coverage);
        format!(
            "{}: nobody serves layers {missing} of {}",
            model.name, model.layers
        )
    });
    let evidence = shown.collect::<Vec<_>>().join("; ");
    let gap = output::gaps(&first.coverage);
    let layers = gap.split(',').next().unwrap_or_default();
    let fix = format!(
        "who has {} serves them with `talkoot up --model {} --layers {layers}`",
        first.name, first.name
    );
    let is_ours = |model: &&ModelView| status.serving.iter().any(|served| served.model == model.id);
    if broken.len() == status.models.len() || broken.iter().any(is_ours) {
        Finding::fail(evidence, fix)
    } else {
        Finding::warn(evidence, fix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use crate::doctor::tests::running;

    #[test]
    fn clocks_are_compared_by_their_median() {
        let now = YEAR_MS_MIN + 1;
        let judged = |offsets: &[i64]| judge_clock(now, offsets, true).verdict;
        assert_eq!(judged(&[]), Verdict::Pass);
        assert_eq!(judged(&[-9_000, 9_000, 100]), Verdict::Pass);
        // One liar among three moves nothing.
        assert_eq!(judged(&[0, i64::MIN, 0]), Verdict::Pass);
        assert_eq!(judged(&[12_000, 12_000, 0]), Verdict::Warn);
        assert_eq!(judged(&[-600_000]), Verdict::Fail);
        assert_eq!(judge_clock(0, &[], true).verdict, Verdict::Fail);
        let behind = judge_clock(now, &[90_000], false);
        assert!(
            behind.evidence.starts_with("90 s behind 1 peer"),
            "{}",
            behind.evidence
        );
    }

    #[test]
    fn datagrams_come_back_on_this_machine() {
        assert_eq!(echo(Ipv4Addr::LOCALHOST.into()), Ok(()));
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert_eq!(judge_udp(&[(here, Ok(()))]).verdict, Verdict::Pass);
        let lost = judge_udp(&[(here, Ok(())), (here, Err("x".to_owned()))]);
        assert_eq!(lost.verdict, Verdict::Fail);
    }

    #[test]
    fn peers_that_never_come_by_themselves_hint_at_a_firewall() {
        let peer = |direction: Option<&str>| PeerFacts {
            direction: direction.map(str::to_owned),
            clock_offset_ms: None,
        };
        let judged = |peers: &[PeerFacts], expects| judge_inbound(peers, expects, &["ufw allow"]);
        assert_eq!(judged(&[], false).verdict, Verdict::Skip);
        assert_eq!(judged(&[], true).verdict, Verdict::Warn);
        assert_eq!(judged(&[peer(None)], true).verdict, Verdict::Skip);
        let ours = || peer(Some("outbound"));
        let few = judged(&[ours(), ours()], true);
        assert_eq!(few.verdict, Verdict::Skip, "either may have dialled first");
        let out = judged(&[ours(), ours(), ours()], true);
        assert_eq!(out.verdict, Verdict::Warn);
        assert!(out.fix.unwrap().contains("ufw allow"));
        let both = [peer(Some("outbound")), peer(Some("inbound"))];
        assert_eq!(judged(&both, true).verdict, Verdict::Pass);
    }

    #[test]
    fn firewalls_are_seen_by_their_files() {
        let root = tempfile::tempdir().unwrap();
        assert!(firewalls(root.path()).is_empty());
        std::fs::create_dir_all(root.path().join("etc/ufw")).unwrap();
        std::fs::create_dir_all(root.path().join("run/firewalld")).unwrap();
        std::fs::write(root.path().join("etc/ufw/ufw.conf"), "# x\nENABLED=yes\n").unwrap();
        assert_eq!(firewalls(root.path()).len(), 2);
        std::fs::write(root.path().join("etc/ufw/ufw.conf"), "ENABLED=no\n").unwrap();
        assert_eq!(firewalls(root.path()).len(), 1);
    }

    #[test]
    fn a_gap_fails_where_it_is_ours_or_everywhere() {
        let mut status = running().status;
        assert_eq!(judge_coverage(&status).verdict, Verdict::Warn);
        let model = |name: &str, coverage: &[u32]| ModelView {
            id: name.to_owned(),
            name: name.to_owned(),
            layers: 4,
            dtype: "f32".to_owned(),
            context: 8,
            coverage: coverage.to_vec(),
            price_ugft_per_token: 1,
            local: true,
        };
        status.models = vec![model("a", &[1, 1, 0, 0])];
        let gap = judge_coverage(&status);
        assert_eq!(gap.verdict, Verdict::Fail);
        assert!(gap.fix.unwrap().contains("--layers 2..4"));
        status.models.push(model("b", &[1; 4]));
        assert_eq!(judge_coverage(&status).verdict, Verdict::Warn);
        status.models = vec![model("b", &[1; 4])];
        assert_eq!(judge_coverage(&status).verdict, Verdict::Pass);
    }
}
