//! Who is present and what they serve: the announcements of all peers.
//!
//! What their clocks say beside ours, and whether somebody announces in our own
//! name, is remembered for those who look for faults.
//!
//! The highest number of a wallet counts, for as long as it says and no longer
//! than [`TTL_MS_MAX`] by our own clock. A peer whose connection closed is left
//! out at once, until it announces anew. Bounded; pure: time comes in as
//! numbers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use talkoot_protocol::announce::{Announcement, KIND_PRESENCE, Presence, Served};
use talkoot_protocol::{DecodeError, ModelId, Verified, Wallet};

/// Wallets remembered.
pub const WALLETS_MAX: usize = 4096;
/// An announcement counts no longer than this.
pub const TTL_MS_MAX: u64 = 120_000;
/// How far other clocks may be off before their announcements are refused.
pub const CLOCK_SKEW_MS: u64 = 600_000;
/// How long the number of a silent wallet is remembered, so that an old
/// announcement cannot come back. Longer than an old one is taken at all.
const MEMORY_MS: u64 = TTL_MS_MAX + 2 * CLOCK_SKEW_MS;

/// One wallet's newest announcement.
#[derive(Debug, Clone)]
pub struct Present {
    /// As signed.
    pub announcement: Verified<Announcement>,
    /// Its payload.
    pub presence: Presence,
    /// Until when it counts, by our clock.
    expires_ms: u64,
    /// Whether the connection closed after it.
    is_gone: bool,
}

/// A peer that serves layers of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Who.
    pub wallet: Wallet,
    /// What.
    pub served: Served,
    /// Where its data plane answers.
    pub data_addresses: Vec<SocketAddr>,
    /// Sessions that it could open.
    pub free_sessions: u16,
    /// Memory it lends, bytes.
    pub memory_bytes: u64,
}

/// What became of an announcement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The first of its wallet, or the first after it was gone.
    New,
    /// A newer one of a present wallet.
    Newer,
    /// The one that is held.
    Same,
    /// One before the one that is held.
    Older,
    /// Its time was over long ago, or is far ahead.
    Expired,
    /// Of a kind of later versions: carried, not read.
    OtherKind,
    /// Its payload breaks its bounds.
    Malformed(DecodeError),
    /// Too many wallets are present.
    Full,
}

/// Everybody's newest announcement.
#[derive(Debug, Default)]
pub struct Directory {
    wallets: BTreeMap<Wallet, Present>,
    offsets_ms: BTreeMap<Wallet, i64>,
    twin_ms: Option<u64>,
}

impl Directory {
    /// Takes an announcement in.
    pub fn apply(&mut self, announcement: Verified<Announcement>, now_ms: u64) -> Applied {
        let Announcement {
            wallet,
            number,
            issued_ms,
            ttl_ms,
            kind,
            ..
        } = *announcement;
        if kind != KIND_PRESENCE {
            return Applied::OtherKind;
        }
        let ttl_ms = u64::from(ttl_ms).min(TTL_MS_MAX);
        let ends_ms = issued_ms.saturating_add(ttl_ms);
        if ends_ms.saturating_add(CLOCK_SKEW_MS) < now_ms
            || issued_ms > now_ms.saturating_add(CLOCK_SKEW_MS)
        {
            return Applied::Expired;
        }
        let held = self.wallets.get(&wallet);
        match held.map(|held| number.cmp(&held.announcement.number)) {
            Some(std::cmp::Ordering::Less) => return Applied::Older,
            Some(std::cmp::Ordering::Equal) => return Applied::Same,
            None if self.wallets.len() >= WALLETS_MAX => return Applied::Full,
            Some(std::cmp::Ordering::Greater) | None => {}
        }
        let presence = match Presence::decode(&announcement.payload) {
            Ok(presence) => presence,
            Err(error) => return Applied::Malformed(error),
        };
        let was_present = held.is_some_and(|held| held.counts(now_ms));
        let present = Present {
            announcement,
            presence,
            expires_ms: now_ms.saturating_add(ttl_ms),
            is_gone: false,
        };
        self.wallets.insert(wallet, present);
        if was_present {
            Applied::Newer
        } else {
            Applied::New
        }
    }

    /// Notes by how much the clock of a peer is ahead of ours: an announcement came
    /// from itself, just made.
    pub fn note_clock(&mut self, wallet: Wallet, issued_ms: u64, now_ms: u64) {
        if self.offsets_ms.len() >= WALLETS_MAX && !self.offsets_ms.contains_key(&wallet) {
            return;
        }
        let offset = i128::from(issued_ms) - i128::from(now_ms);
        let bound = i128::from(i64::MAX);
        let offset = i64::try_from(offset.clamp(-bound, bound)).unwrap_or(0);
        self.offsets_ms.insert(wallet, offset);
    }

    /// By how much a peer's clock was ahead of ours when it last announced, ms.
    #[must_use]
    pub fn clock_offset_ms(&self, wallet: &Wallet) -> Option<i64> {
        self.offsets_ms.get(wallet).copied()
    }

    /// Somebody else announced in our name.
    pub const fn note_twin(&mut self, now_ms: u64) {
        self.twin_ms = Some(now_ms);
    }

    /// When somebody else last announced in our name, milliseconds since 1970.
    #[must_use]
    pub const fn twin_ms(&self) -> Option<u64> {
        self.twin_ms
    }

    /// The connection to a peer closed: it is left out until it announces anew.
    pub fn gone(&mut self, wallet: &Wallet) {
        if let Some(present) = self.wallets.get_mut(wallet) {
            present.is_gone = true;
        }
    }

    /// Forgets wallets that have been silent for long.
    pub fn expire(&mut self, now_ms: u64) {
        self.wallets
            .retain(|_, present| present.expires_ms.saturating_add(MEMORY_MS) > now_ms);
        if self.offsets_ms.len() >= WALLETS_MAX {
            let wallets = &self.wallets;
            self.offsets_ms
                .retain(|wallet, _| wallets.contains_key(wallet));
        }
    }

    /// Everybody who is present.
    pub fn present(&self, now_ms: u64) -> impl Iterator<Item = (&Wallet, &Present)> {
        self.wallets
            .iter()
            .filter(move |(_, present)| present.counts(now_ms))
    }

    /// One wallet, if present.
    #[must_use]
    pub fn get(&self, wallet: &Wallet, now_ms: u64) -> Option<&Present> {
        self.wallets
            .get(wallet)
            .filter(|present| present.counts(now_ms))
    }

    /// Who serves any layers of a model, sorted by wallet.
    #[must_use]
    pub fn providers(&self, model: ModelId, now_ms: u64) -> Vec<Provider> {
        let mut providers = Vec::new();
        for (wallet, present) in self.present(now_ms) {
            let presence = &present.presence;
            for served in &presence.served {
                if served.model == model {
                    providers.push(Provider {
                        wallet: *wallet,
                        served: served.clone(),
                        data_addresses: present.data_addresses(),
                        free_sessions: presence.free_sessions,
                        memory_bytes: presence.memory_bytes,
                    });
                }
            }
        }
        providers
    }

    /// For each of a model's layers, how many peers serve it.
    #[must_use]
    pub fn coverage(&self, model: ModelId, layers: u32, now_ms: u64) -> Vec<u32> {
        let providers = self.providers(model, now_ms);
        let count = |layer: u32| {
            let covering = providers
                .iter()
                .filter(|provider| provider.served.range.contains(layer));
            u32::try_from(covering.count()).unwrap_or(u32::MAX)
        };
        (0..layers).map(count).collect()
    }

    /// The models that anybody serves, each with one description of it.
    #[must_use]
    pub fn models(&self, now_ms: u64) -> BTreeMap<ModelId, Served> {
        let mut models = BTreeMap::new();
        for (_, present) in self.present(now_ms) {
            for served in &present.presence.served {
                models.entry(served.model).or_insert_with(|| served.clone());
            }
        }
        models
    }
}

impl Present {
    const fn counts(&self, now_ms: u64) -> bool {
        !self.is_gone && now_ms < self.expires_ms
    }

    /// Where its data plane answers; texts that are no addresses are left out.
    #[must_use]
    pub fn data_addresses(&self) -> Vec<SocketAddr> {
        self.presence
            .data_addresses
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect()
    }
}

#[cfg(test)]
mod tests;
