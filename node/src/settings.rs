//! What the owner decided about a node, checked once, before anything starts.
//!
//! Values come from the command line, then the environment (`TALKOOT_*`), then
//! the defaults here; the command line's parser does the first two. After
//! [`Settings::new`] every value is usable as it stands.

use crate::cli::{GenesisArgs, PricingArg, ReachArgs, Switch, UpArgs};
use crate::core::lending::{self, CpuPlan, Duty, LendingRules};
use crate::exit::{Exit, Failure};
use crate::http::AdmissionLimits;
use crate::machine::{self, load::CpuTimes};
use crate::models;
use crate::units::{self, UGFT_PER_GFT};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use talkoot_inference::kernels::PackedFormat;
use talkoot_protocol::genesis::PPM;
use talkoot_protocol::{Genesis, LayerRange, Policy, Pricing};

/// libp2p, udp and tcp.
pub const P2P_PORT: u16 = 7470;
/// The data plane, udp.
pub const DATA_PORT: u16 = 7471;
/// HTTP, loopback only.
pub const HTTP_PORT: u16 = 7472;
/// Ports between one instance and the next.
pub const INSTANCE_PORTS: u16 = 10;
/// Instances on one machine.
pub const INSTANCES_MAX: u16 = 200;
/// The founder's line of a network that a node begins by itself, µGFT.
pub const SOLO_LINE_UGFT: u64 = 10_000 * UGFT_PER_GFT;

/// Threads of a step at most.
const THREADS_MAX: usize = 256;

/// How layers are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// Our own kernels for this processor.
    #[default]
    Kernels,
    /// Stock burn operations: slower, for comparison.
    Burn,
    /// Stock burn operations on an NVIDIA card.
    Cuda,
}

/// The settings of `talkoot up`.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where libp2p and the data plane listen.
    pub listen: IpAddr,
    /// Port of libp2p (udp and tcp); 0 is any.
    pub p2p_port: u16,
    /// Port of the data plane (udp); 0 is any.
    pub data_port: u16,
    /// Port of HTTP; 0 is any.
    pub http_port: u16,
    /// Where HTTP listens; beyond loopback it needs a key.
    pub http_listen: IpAddr,
    /// Names in `Host` besides those of loopback.
    pub http_hosts: Vec<String>,
    /// Addresses whose programs count as this machine's.
    pub http_locals: Vec<IpAddr>,
    /// Whether HTTP has the dashboard.
    pub dashboard: bool,
    /// Origins of web pages that may ask.
    pub cors_origins: Vec<String>,
    /// Answers made at once and answers that wait.
    pub admission: AdmissionLimits,
    /// Peers to dial first, as multiaddr text.
    pub bootstrap: Vec<String>,
    /// Whether to look for peers on the local network.
    pub mdns: bool,
    /// Models to serve: directories, GGUF files, places in the store; empty means the embedded demo model.
    pub models: Vec<PathBuf>,
    /// Layers to serve; none means as many as are needed and fit.
    pub layers: Option<LayerRange>,
    /// Whether to serve at all.
    pub serve: bool,
    /// Memory lent at most, bytes; none means half of what is free at start.
    pub memory_bytes: Option<u64>,
    /// Sessions open at the same time.
    pub sessions_max: usize,
    /// Unconfirmed holds of one submitter that we work for, µGFT.
    pub exposure_ugft: u64,
    /// How layers are computed.
    pub backend: Backend,
    /// What matrices are packed to when they are loaded; none leaves them as
    /// stored.
    pub quantize: Option<PackedFormat>,
    /// Threads that compute a step together.
    pub threads: usize,
    /// In which part of the time they do.
    pub duty: Duty,
    /// When layers are lent.
    pub lending: LendingRules,
}

/// The ports of a node; 0 is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// libp2p, udp and tcp.
    pub p2p: u16,
    /// The data plane, udp.
    pub data: u16,
    /// HTTP.
    pub http: u16,
}

impl Ports {
    /// As they are asked for, else by the instance, which is at most
    /// [`INSTANCES_MAX`].
    #[must_use]
    pub fn new(args: &ReachArgs, instance: u16) -> Self {
        let shift = instance.saturating_mul(INSTANCE_PORTS);
        let own =
            |asked: Option<u16>, first: u16| asked.unwrap_or_else(|| first.saturating_add(shift));
        Self {
            p2p: own(args.p2p_port, P2P_PORT),
            data: own(args.data_port, DATA_PORT),
            http: own(args.http_port, HTTP_PORT),
        }
    }
}

impl Settings {
    /// Checks the arguments of `up`.
    ///
    /// # Errors
    /// [`Exit::BadConfig`] naming the argument and the way out.
    pub fn new(args: &UpArgs, instance: u16) -> Result<Self, Failure> {
        if instance > INSTANCES_MAX {
            return Err(bad(format!("--instance is at most {INSTANCES_MAX}")));
        }
        let ports = Ports::new(&args.reach, instance);
        let layers = args
            .layers
            .as_deref()
            .map(str::parse::<LayerRange>)
            .transpose()
            .map_err(|error| bad(format!("--layers: {error}")))?;
        if layers.is_some() && args.model.len() > 1 {
            return Err(bad("--layers goes with one --model only"));
        }
        if args.no_serve && (layers.is_some() || !args.model.is_empty()) {
            return Err(bad("--no-serve goes with neither --model nor --layers"));
        }
        let CpuPlan { threads, duty } = cpu(args)?;
        let settings = Self {
            listen: args.reach.listen,
            p2p_port: ports.p2p,
            data_port: ports.data,
            http_port: ports.http,
            http_listen: args.reach.http_listen,
            http_hosts: args.http_host.clone(),
            http_locals: args.http_local.clone(),
            dashboard: !args.no_dashboard,
            cors_origins: args.cors_origin.clone(),
            admission: AdmissionLimits {
                answers_max: usize::from(args.max_answers.unwrap_or(args.sessions)),
                queue_max: usize::from(args.max_queue),
            },
            bootstrap: args.reach.bootstrap.clone(),
            mdns: !args.no_mdns,
            models: args.model.clone(),
            layers,
            serve: !args.no_serve,
            memory_bytes: args
                .max_mem
                .as_deref()
                .map(units::parse_bytes)
                .transpose()
                .map_err(|error| bad(format!("--max-mem: {error}")))?,
            sessions_max: usize::from(args.sessions),
            exposure_ugft: units::parse_gft(&args.exposure)
                .map_err(|error| bad(format!("--exposure: {error}")))?,
            backend: args.backend.into(),
            quantize: args.quantize.into(),
            threads,
            duty,
            lending: lending_rules(args)?,
        };
        settings.check()?;
        Ok(settings)
    }

    /// Where HTTP listens: for the programs of this machine always on loopback,
    /// and where the owner said otherwise there too.
    #[must_use]
    pub fn http_addresses(&self) -> Vec<IpAddr> {
        let listen = self.http_listen;
        if listen.is_loopback() || listen.is_unspecified() {
            vec![listen]
        } else {
            vec![IpAddr::V4(Ipv4Addr::LOCALHOST), listen]
        }
    }

    /// Names that `Host` may have: those given, and the address listened on.
    #[must_use]
    pub fn http_host_names(&self) -> Vec<String> {
        let mut names = self.http_hosts.clone();
        match self.http_listen {
            IpAddr::V4(address) if !address.is_unspecified() => names.push(address.to_string()),
            IpAddr::V6(address) if !address.is_unspecified() => names.push(format!("[{address}]")),
            _ => {}
        }
        names
    }

    fn check_http(&self) -> Result<(), Failure> {
        if self.admission.answers_max == 0 {
            return Err(bad("--max-answers is at least 1"));
        }
        if self.http_locals.iter().any(IpAddr::is_unspecified) {
            return Err(bad("--http-local names single addresses, not all of them"));
        }
        for host in &self.http_hosts {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
            let has_port = !host.starts_with('[') && host.contains(':');
            if host.is_empty() || has_port || !host.bytes().all(plain) {
                return Err(bad(format!("--http-host {host}: not a plain host name"))
                    .hint("without scheme and port, for example: --http-host node.example.org"));
            }
        }
        for origin in &self.cors_origins {
            if !is_origin(origin) {
                return Err(bad(format!("--cors-origin {origin}: not an origin")).hint(
                    "as browsers send it, without a path: --cors-origin https://app.example.org",
                ));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Failure> {
        if self.sessions_max == 0 {
            return Err(bad("--sessions is at least 1 (--no-serve lends nothing)"));
        }
        self.check_http()?;
        // Two sockets of one kind on one port fail later with a worse message.
        if self.p2p_port != 0 && self.p2p_port == self.data_port {
            return Err(bad(
                "--p2p-port and --data-port are both udp and must differ",
            ));
        }
        if self.http_port != 0 && self.http_port == self.p2p_port {
            return Err(bad(
                "--p2p-port and --http-port are both tcp and must differ",
            ));
        }
        if self.backend == Backend::Cuda && !cfg!(feature = "cuda") {
            return Err(
                bad("--backend cuda: this program was built without the feature `cuda`")
                    .hint("build it in with `cargo install --path node --features cuda`"),
            );
        }
        for address in &self.bootstrap {
            check_bootstrap(address)?;
        }
        for path in &self.models {
            if !models::is_model(path) {
                let message = format!("--model {}: no such model here", path.display());
                return Err(bad(message).hint(models::NO_MODEL));
            }
        }
        Ok(())
    }
}

/// An origin as browsers send it: `scheme://host[:port]`.
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"/,*\"".contains(&byte);
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    !scheme.is_empty()
        && scheme.bytes().all(is_scheme)
        && !rest.is_empty()
        && rest.bytes().all(plain)
        && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// How many threads `--threads` means: without it, as many as this process may
/// run at once.
///
/// # Errors
/// When there are none or too many.
pub fn threads(wanted: Option<u16>) -> Result<usize, Failure> {
    let threads = wanted.map_or_else(|| machine::threads().min(THREADS_MAX), usize::from);
    if (1..=THREADS_MAX).contains(&threads) {
        return Ok(threads);
    }
    Err(bad(format!("--threads is 1 to {THREADS_MAX}")))
}

/// Threads and rests, by `--threads` and `--max-cpu`.
fn cpu(args: &UpArgs) -> Result<CpuPlan, Failure> {
    let named = threads(args.threads)?;
    let Some(text) = &args.max_cpu else {
        return Ok(CpuPlan {
            threads: named,
            duty: Duty::FULL,
        });
    };
    let digits = text.trim();
    let digits = digits.strip_suffix('%').unwrap_or(digits).trim();
    let percent: Option<u32> = digits.parse().ok();
    let share = percent.filter(|share| (lending::PERCENT_MIN..=100).contains(share));
    let share = share.ok_or_else(|| {
        let least = lending::PERCENT_MIN;
        bad(format!(
            "--max-cpu {text}: not a share from {least}% to 100%"
        ))
        .hint("a share of all processors of this machine, for example: --max-cpu 50%")
    })?;
    Ok(lending::plan(
        share,
        machine::threads(),
        args.threads.map(usize::from),
    ))
}

/// When layers are lent, by `--idle-only` and `--hours`.
fn lending_rules(args: &UpArgs) -> Result<LendingRules, Failure> {
    if args.idle_only && CpuTimes::read(0).is_none() {
        return Err(bad(
            "--idle-only: this system does not tell what other programs do (no /proc/stat)",
        )
        .hint("--hours and `talkoot pause` work everywhere"));
    }
    Ok(LendingRules {
        idle_only: args.idle_only,
        hours: args
            .hours
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|error| bad(format!("--hours: {error}")))?,
    })
}

/// Says early what a multiaddr parser would say later and shorter.
pub(crate) fn check_bootstrap(address: &str) -> Result<(), Failure> {
    let known = ["/ip4/", "/ip6/", "/dns/", "/dns4/", "/dns6/"];
    if known.iter().any(|prefix| address.starts_with(prefix)) && address.contains("/p2p/") {
        return Ok(());
    }
    Err(bad(format!(
        "--bootstrap {address}: not an address with a peer id"
    ))
    .hint(
        "it looks like /ip4/192.0.2.7/udp/7470/quic-v1/p2p/12D3Koo…; \
             `talkoot status` on the other machine lists them",
    ))
}

fn bad(message: impl Into<String>) -> Failure {
    Failure::new(Exit::BadConfig, message)
}

/// The policy of a network that is founded with these arguments.
#[must_use]
pub fn policy(args: &GenesisArgs) -> Policy {
    let mut policy = Policy::default();
    if args.pricing == Some(PricingArg::Size) {
        policy.pricing = Pricing::Size;
    }
    if args.precision_factors == Some(Switch::Off) {
        policy.f32_ppm = PPM;
        policy.f16_ppm = PPM;
        policy.int8_ppm = PPM;
        policy.int4_ppm = PPM;
    }
    policy.accounting = args.accounting != Some(Switch::Off);
    policy
}

/// Whether a network that exists is what the arguments ask a new one to be.
///
/// # Errors
/// [`Exit::BadConfig`] naming the argument and the way out.
pub fn check_policy(args: &GenesisArgs, genesis: &Genesis) -> Result<(), Failure> {
    let (wanted, is) = (policy(args), &genesis.policy);
    let factors = |policy: &Policy| {
        [
            policy.f32_ppm,
            policy.f16_ppm,
            policy.int8_ppm,
            policy.int4_ppm,
        ]
    };
    let kept = [
        (
            "--pricing",
            args.pricing.is_none() || wanted.pricing == is.pricing,
        ),
        (
            "--precision-factors",
            args.precision_factors.is_none() || factors(&wanted) == factors(is),
        ),
        (
            "--accounting",
            args.accounting.is_none() || wanted.accounting == is.accounting,
        ),
    ];
    match kept.iter().find(|(_, is_kept)| !is_kept) {
        None => Ok(()),
        Some((argument, _)) => Err(bad(format!(
            "{argument}: the genesis of network {} says otherwise and cannot be changed; another home (--instance N) founds another network",
            genesis.name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse_up;

    fn settings(line: &str, instance: u16) -> Result<Settings, Failure> {
        Settings::new(&parse_up(line), instance)
    }

    #[test]
    fn defaults_and_instances() {
        let plain = settings("", 0).unwrap();
        assert_eq!(
            (plain.p2p_port, plain.data_port, plain.http_port),
            (7470, 7471, 7472)
        );
        assert!(plain.serve && plain.mdns && plain.http_listen.is_loopback());
        assert_eq!(plain.http_addresses().len(), 1);
        // As many places as sessions: a full node makes people wait in a line.
        assert_eq!(plain.admission.answers_max, plain.sessions_max);
        let open = settings("--http-listen 192.0.2.1 --sessions 3 --max-queue 9", 0).unwrap();
        assert_eq!(open.http_addresses().len(), 2);
        assert_eq!(open.http_host_names(), ["192.0.2.1"]);
        assert_eq!(
            (open.admission.answers_max, open.admission.queue_max),
            (3, 9)
        );
        let third = settings("--http-port 0", 3).unwrap();
        assert_eq!(
            (third.p2p_port, third.data_port, third.http_port),
            (7500, 7501, 0)
        );
        assert!(settings("", INSTANCES_MAX + 1).is_err());
    }

    #[test]
    fn contradictions_are_refused_and_named() {
        for (line, named) in [
            ("--layers 4..4", "--layers"),
            ("--layers 0-4", "--layers"),
            ("--no-serve --layers 0..4", "--no-serve"),
            ("--p2p-port 9 --data-port 9", "--data-port"),
            ("--p2p-port 9 --http-port 9", "--http-port"),
            ("--sessions 0", "--sessions"),
            ("--threads 0", "--threads"),
            ("--threads 257", "--threads"),
            ("--max-mem lots", "--max-mem"),
            ("--max-cpu 4%", "--max-cpu"),
            ("--max-cpu half", "--max-cpu"),
            ("--max-cpu 101", "--max-cpu"),
            ("--hours 22-7", "--hours"),
            ("--max-answers 0", "--max-answers"),
            ("--http-local 0.0.0.0", "--http-local"),
            ("--http-host http://x", "--http-host"),
            ("--http-host node.test:7472", "--http-host"),
            ("--cors-origin *", "--cors-origin"),
            ("--cors-origin https://a.test/", "--cors-origin"),
            ("--cors-origin https://A.test", "--cors-origin"),
            ("--exposure=-1", "--exposure"),
            ("--model /nowhere", "--model"),
            #[cfg(not(feature = "cuda"))]
            ("--backend cuda", "feature `cuda`"),
            ("--bootstrap 192.0.2.7:7470", "--bootstrap"),
            ("--bootstrap /ip/192.0.2.7/tcp/1/p2p/x", "--bootstrap"),
        ] {
            let refused = settings(line, 0).unwrap_err();
            assert_eq!(refused.exit, Exit::BadConfig, "{line}");
            assert!(refused.message.contains(named), "{line}: {refused}");
        }
    }

    #[test]
    fn given_values_are_kept() {
        let given = settings(
            "--layers 2..4 --max-mem 2GiB --exposure 5GFT --sessions 3 --no-mdns \
             --listen 127.0.0.1 --backend burn --quantize q4_0 --threads 3 --bootstrap /ip4/127.0.0.1/udp/1/quic-v1/p2p/x",
            0,
        )
        .unwrap();
        assert_eq!(given.layers, Some(LayerRange::new(2, 4).unwrap()));
        assert_eq!(given.memory_bytes, Some(2 << 30));
        assert_eq!((given.exposure_ugft, given.sessions_max), (5_000_000, 3));
        assert_eq!((given.mdns, given.backend), (false, Backend::Burn));
        assert_eq!(given.bootstrap.len(), 1);
        assert_eq!(
            (given.quantize, given.threads),
            (Some(PackedFormat::Q4_0), 3)
        );
        for (name, format) in [
            ("none", None),
            ("bf16", Some(PackedFormat::Bf16)),
            ("q8_0", Some(PackedFormat::Q8_0)),
        ] {
            let given = settings(&format!("--quantize {name}"), 0).unwrap();
            assert_eq!(given.quantize, format);
        }
    }

    #[test]
    fn limits_of_the_processor_and_the_hours_are_read() {
        let plain = settings("", 0).unwrap();
        assert_eq!((plain.duty, plain.lending.is_any()), (Duty::FULL, false));
        let half = settings("--max-cpu 50% --hours 22:00-07:00", 0).unwrap();
        assert!(half.threads <= machine::threads() && half.lending.is_any());
        assert!(!half.lending.idle_only);
        let named = settings("--max-cpu 50 --threads 200 --idle-only", 0).unwrap();
        assert_eq!(named.threads, 200);
        assert_eq!(named.duty.rest_us(1_000), 1_000);
        assert!(named.lending.idle_only);
    }

    #[test]
    fn a_new_network_is_what_its_founder_switched() {
        let args = |line: &str| parse_up(line).genesis;
        assert_eq!(policy(&args("")), Policy::default());
        let cheap = policy(&args(
            "--pricing size --precision-factors off --accounting off",
        ));
        assert_eq!(cheap.pricing, Pricing::Size);
        assert_eq!([cheap.f32_ppm, cheap.int4_ppm], [PPM, PPM]);
        assert!(!cheap.accounting);
    }

    #[test]
    fn switches_cannot_change_a_network_that_is() {
        let founder = talkoot_protocol::Founder {
            wallet: talkoot_protocol::Keypair::from_seed(&[1; 32]).wallet(),
            line_ugft: 1,
        };
        let genesis = Genesis::new("old", 1, Policy::default(), vec![founder]).unwrap();
        let check = |line: &str| check_policy(&parse_up(line).genesis, &genesis);
        for kept in [
            "",
            "--pricing flops",
            "--accounting on --precision-factors on",
        ] {
            check(kept).unwrap();
        }
        for (line, named) in [
            ("--pricing size", "--pricing"),
            ("--precision-factors off", "--precision-factors"),
            ("--pricing flops --accounting off", "--accounting"),
        ] {
            let failure = check(line).unwrap_err();
            assert_eq!(failure.exit, Exit::BadConfig);
            assert!(failure.message.starts_with(named), "{failure}");
        }
    }
}
