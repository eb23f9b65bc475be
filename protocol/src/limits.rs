//! Every size that an outside party can influence has its bound here.
//!
//! A decoder checks the bound of its kind before it allocates anything. The
//! relations between bounds are checked when this crate is compiled. Policy
//! (prices, windows, timeouts) is not here: it stands in the genesis, in offers
//! and in the settings of a node.

/// Bytes of a canonical genesis.
pub const GENESIS_BYTES_MAX: usize = 1024;
/// Founders in a genesis.
pub const FOUNDERS_MAX: usize = 16;
/// Bytes of a canonical model card.
pub const CARD_BYTES_MAX: usize = 1024;
/// Bytes of a name of a network or a model.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a software version string.
pub const VERSION_BYTES_MAX: usize = 32;

/// Layers of a model.
pub const LAYERS_MAX: u32 = 1024;
/// Stages of one route.
pub const STAGES_MAX: usize = 64;
/// Tokens of one session, prompt and completion together.
pub const CONTEXT_TOKENS_MAX: u32 = 1 << 18;

/// Bytes of the payload of a ledger entry.
pub const ENTRY_PAYLOAD_BYTES_MAX: usize = 16 * 1024;
/// References of a ledger entry to entries of other authors.
pub const ENTRY_REFS_MAX: usize = 8;
/// Wallets that one ledger entry may introduce.
pub const ENTRY_NAMES_MAX: usize = 16;
/// Bytes of a whole signed entry.
pub const ENTRY_BYTES_MAX: usize = ENTRY_PAYLOAD_BYTES_MAX + 2048;

/// Bytes of a signed offer; 64 of them fit the payload of one entry.
pub const OFFER_BYTES_MAX: usize = 254;
/// Bytes of a signed attestation.
pub const ATTESTATION_BYTES_MAX: usize = 1024;
/// Bytes of a signed acknowledgement.
pub const ACK_BYTES_MAX: usize = 512;
/// Bytes of a signed free-job order.
pub const FREE_JOB_BYTES_MAX: usize = 512;

/// Bytes of a signed announcement.
pub const ANNOUNCEMENT_BYTES_MAX: usize = 16 * 1024;
/// Served ranges in one announcement.
pub const SERVED_MAX: usize = 16;
/// Addresses in an announcement, an open message or a ticket.
pub const ADDRESSES_MAX: usize = 16;
/// Bytes of one textual address.
pub const ADDRESS_BYTES_MAX: usize = 128;

/// Announcements in one answer about who is present.
pub const PRESENT_MAX: usize = 256;
/// Bytes of such an answer.
pub const PRESENCE_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of one gossip message.
pub const GOSSIP_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a control message between two ends of a job.
pub const CONTROL_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes of a human-readable reason.
pub const REASON_BYTES_MAX: usize = 512;
/// Stop ids of a job.
pub const STOP_IDS_MAX: usize = 64;
/// Token ids with a bias in one job.
pub const BIAS_MAX: usize = 1024;
/// Bytes of a grammar that a completion must follow.
pub const GRAMMAR_BYTES_MAX: usize = 64 * 1024;
/// Bytes of what a submitter calls a request.
pub const REQUEST_ID_BYTES_MAX: usize = 64;
/// Alternatives with a log-probability per position.
pub const TOP_LOGPROBS_MAX: usize = 20;

/// Bytes of the tensor of one data frame.
pub const FRAME_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Rows (tokens) of one data frame.
pub const FRAME_ROWS_MAX: u32 = 1024;
/// Bytes of the payload of a token frame.
pub const TOKEN_PAYLOAD_BYTES_MAX: usize = 1024;
/// Bytes of the payload of a frame of prompt scores.
pub const SCORES_PAYLOAD_BYTES_MAX: usize = 256 * 1024;

/// Bytes of one sync message.
pub const SYNC_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Ids in one sync message.
pub const SYNC_ITEMS_MAX: usize = 512;
/// Parts of a chain that one sync message names.
pub const SYNC_MARKS_MAX: usize = 64;
/// Spans of one listing.
pub const SYNC_SPANS_MAX: usize = 64;
/// Entries of one slice.
pub const SYNC_SLICE_MAX: u32 = 2048;
/// Bytes of entries in one answer; a single larger entry does not exist.
pub const SYNC_ENTRIES_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of one blob.
pub const BLOB_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Bytes of one range of a blob.
pub const BLOB_RANGE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a request for a range of a blob.
pub const BLOB_REQUEST_BYTES_MAX: usize = 64;
/// Bytes of the answer to such a request.
pub const BLOB_RESPONSE_BYTES_MAX: usize = BLOB_RANGE_BYTES_MAX + 64;

/// Bytes of a decoded ticket.
pub const TICKET_BYTES_MAX: usize = 4096;
/// Bytes of a join message: a ticket as text, or a reason.
pub const JOIN_BYTES_MAX: usize = 8192;

const _: () = assert!(OFFER_BYTES_MAX * STAGES_MAX + 120 <= ENTRY_PAYLOAD_BYTES_MAX);
const _: () = assert!(ENTRY_BYTES_MAX + 64 <= GOSSIP_BYTES_MAX);
const _: () = assert!(ANNOUNCEMENT_BYTES_MAX + 64 <= GOSSIP_BYTES_MAX);
const _: () = assert!(SYNC_ENTRIES_BYTES_MAX + ENTRY_BYTES_MAX < SYNC_BYTES_MAX);
const _: () = assert!(BLOB_RESPONSE_BYTES_MAX < SYNC_BYTES_MAX);
const _: () =
    assert!(GENESIS_BYTES_MAX + ADDRESSES_MAX * (ADDRESS_BYTES_MAX + 8) < TICKET_BYTES_MAX);
const _: () =
    assert!(CONTEXT_TOKENS_MAX as usize * 4 + GRAMMAR_BYTES_MAX + 64 * 1024 < CONTROL_BYTES_MAX);
const _: () =
    assert!(FRAME_ROWS_MAX as usize * (12 + TOP_LOGPROBS_MAX * 8) + 8 <= SCORES_PAYLOAD_BYTES_MAX);
