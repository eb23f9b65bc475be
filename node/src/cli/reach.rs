//! The arguments that say where a node can be reached and whom it reaches first:
//! those of `up`, which `doctor` takes too, to look at what `up` would use.

use clap::Args;
use std::net::IpAddr;

/// Where a node listens, and its first contacts.
#[derive(Debug, Clone, Args)]
pub struct ReachArgs {
    /// Join the network of this ticket
    #[arg(long, value_name = "TICKET", env = "TALKOOT_JOIN")]
    pub join: Option<String>,
    /// Address of a peer to dial first, with its peer id; may repeat
    #[arg(
        long,
        value_name = "ADDR",
        env = "TALKOOT_BOOTSTRAP",
        value_delimiter = ','
    )]
    pub bootstrap: Vec<String>,
    /// Address on which libp2p and the data plane listen
    #[arg(
        long,
        value_name = "IP",
        env = "TALKOOT_LISTEN",
        default_value = "0.0.0.0"
    )]
    pub listen: IpAddr,
    /// Port of libp2p, udp and tcp; 0 = any [default: 7470 + 10 N]
    #[arg(long, value_name = "PORT", env = "TALKOOT_P2P_PORT")]
    pub p2p_port: Option<u16>,
    /// Port of the data plane, udp; 0 = any [default: 7471 + 10 N]
    #[arg(long, value_name = "PORT", env = "TALKOOT_DATA_PORT")]
    pub data_port: Option<u16>,
    /// Port of the HTTP API; 0 = any [default: 7472 + 10 N]
    #[arg(long, value_name = "PORT", env = "TALKOOT_HTTP_PORT")]
    pub http_port: Option<u16>,
    /// Address of the HTTP API; beyond loopback it needs a key (`talkoot key new`)
    #[arg(
        long,
        value_name = "IP",
        env = "TALKOOT_HTTP_LISTEN",
        default_value = "127.0.0.1"
    )]
    pub http_listen: IpAddr,
}
