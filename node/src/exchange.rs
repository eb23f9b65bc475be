//! What peers exchange on the control plane, in words of our own: topics,
//! request protocols with their limits, and what can go wrong.
//!
//! Nothing here knows libp2p; `swarm` carries these bytes.

pub mod blobs;

use crate::core::peers::Mark;
use talkoot_protocol::{NetworkId, limits, version};

/// What is gossiped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Signed ledger entries.
    Ledger,
    /// Signed announcements.
    Presence,
}

impl Topic {
    /// All topics.
    pub const ALL: [Self; 2] = [Self::Ledger, Self::Presence];

    /// The name on the wire.
    #[must_use]
    pub fn name(self, network: NetworkId) -> String {
        match self {
            Self::Ledger => version::ledger_topic(network),
            Self::Presence => version::presence_topic(network),
        }
    }
}

/// What is asked and answered between two peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Entries that the other lacks.
    Sync,
    /// Ranges of blobs.
    Blob,
    /// Held announcements.
    Presence,
    /// A newcomer's ticket.
    Join,
    /// The founding document, for those who know no network yet.
    Genesis,
}

impl Protocol {
    /// The name on the wire.
    #[must_use]
    pub fn name(self, network: NetworkId) -> String {
        match self {
            Self::Sync => version::sync_protocol(network),
            Self::Blob => version::blob_protocol(network),
            Self::Presence => version::presence_protocol(network),
            Self::Join => version::join_protocol(network),
            Self::Genesis => version::genesis_protocol(),
        }
    }

    /// Bytes of a request.
    #[must_use]
    pub const fn request_bytes_max(self) -> usize {
        match self {
            // Wants are 40 bytes each, and no other request is longer.
            Self::Sync => limits::SYNC_ITEMS_MAX * 40 + 64,
            Self::Blob | Self::Presence => 64,
            Self::Join => limits::JOIN_BYTES_MAX,
            Self::Genesis => 0,
        }
    }

    /// Bytes of a response.
    #[must_use]
    pub const fn response_bytes_max(self) -> usize {
        match self {
            Self::Sync => limits::SYNC_BYTES_MAX,
            Self::Blob => limits::BLOB_RANGE_BYTES_MAX + 64,
            Self::Presence => limits::PRESENCE_BYTES_MAX,
            Self::Join => limits::JOIN_BYTES_MAX,
            Self::Genesis => limits::GENESIS_BYTES_MAX,
        }
    }
}

/// The bytes on a stream were not a message within its limit. The sender's
/// fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// The length in front is above the limit.
    #[error("a message of {length} bytes, the limit is {limit}")]
    OverLimit {
        /// Announced.
        length: u32,
        /// Allowed.
        limit: usize,
    },
    /// The stream ended before the announced length.
    #[error("a message ended early")]
    Truncated,
}

impl From<FrameFault> for Mark {
    fn from(fault: FrameFault) -> Self {
        match fault {
            FrameFault::OverLimit { .. } => Self::OverLimit,
            FrameFault::Truncated => Self::Truncated,
        }
    }
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// No connection to the peer, and none could be made.
    #[error("the peer cannot be reached")]
    Unreachable,
    /// No answer in time.
    #[error("the peer did not answer in time")]
    Timeout,
    /// The connection ended first.
    #[error("the connection closed before the answer")]
    Closed,
    /// The peer does not speak this protocol of our network.
    #[error("the peer does not speak this protocol")]
    Unsupported,
    /// The answer broke its frame; the peer got a mark.
    #[error("the answer was no message: {0}")]
    Frame(#[from] FrameFault),
    /// Our own request is larger than the protocol allows.
    #[error("the request has {0} bytes, more than its protocol allows")]
    RequestTooLong(usize),
    /// This node is stopping.
    #[error("this node is stopping")]
    Stopped,
}
