//! Entries by id.
//!
//! Ids are hashes, so their first bits spread entries over buckets; the number
//! of buckets grows with the entries. A bucket is sorted: an author that seeks
//! ids with common bits makes one bucket longer and a search in it no slower
//! than in a sorted list.

use crate::graph::Ix;
use talkoot_protocol::Hash;

/// Entries to a bucket, on average at most.
const LOAD_MAX: usize = 12;

/// Where entries stand, by the first bits of their ids.
#[derive(Debug)]
pub(crate) struct Ids {
    buckets: Vec<Vec<(u64, Ix)>>,
    /// How many first bits choose the bucket.
    bits: u32,
    count: usize,
}

impl Default for Ids {
    fn default() -> Self {
        Self {
            buckets: vec![Vec::new()],
            bits: 0,
            count: 0,
        }
    }
}

/// The first eight bytes, as a number.
fn first_bits(id: &Hash) -> u64 {
    let first = id.as_bytes().first_chunk::<8>();
    first.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

impl Ids {
    fn bucket_of(&self, bits: u64) -> usize {
        let shift = u64::BITS.saturating_sub(self.bits);
        usize::try_from(bits.checked_shr(shift).unwrap_or(0)).unwrap_or(usize::MAX)
    }

    /// The entry with this id; `is_it` looks at the whole id.
    pub(crate) fn find(&self, id: &Hash, is_it: impl Fn(Ix) -> bool) -> Option<Ix> {
        let bits = first_bits(id);
        let bucket = self.buckets.get(self.bucket_of(bits))?;
        let start = bucket.partition_point(|entry| entry.0 < bits);
        bucket
            .get(start..)?
            .iter()
            .take_while(|entry| entry.0 == bits)
            .map(|entry| entry.1)
            .find(|&ix| is_it(ix))
    }

    /// Adds an entry that is not there.
    pub(crate) fn insert(&mut self, id: &Hash, ix: Ix) {
        if self.count >= self.buckets.len().saturating_mul(LOAD_MAX) {
            self.grow();
        }
        let bits = first_bits(id);
        let bucket = self.bucket_of(bits);
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            let place = bucket.partition_point(|entry| entry.0 < bits);
            bucket.insert(place, (bits, ix));
            self.count = self.count.saturating_add(1);
        }
    }

    /// Splits every bucket in two by the next bit.
    fn grow(&mut self) {
        let next = u64::BITS.saturating_sub(self.bits).saturating_sub(1);
        let is_upper = |bits: u64| bits.checked_shr(next).is_some_and(|bits| bits & 1 == 1);
        let split = |mut lower: Vec<(u64, Ix)>| {
            let at = lower.partition_point(|entry| !is_upper(entry.0));
            let upper = lower.split_off(at);
            [lower, upper]
        };
        self.buckets = std::mem::take(&mut self.buckets)
            .into_iter()
            .flat_map(split)
            .collect();
        self.bits = self.bits.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_found_and_no_other() {
        let mut ids = Ids::default();
        // Half of them share their first seven bytes, as an attacker's may.
        let id = |number: u32| {
            let mut bytes = *Hash::of_blob(&number.to_le_bytes()).as_bytes();
            if number.is_multiple_of(2) {
                bytes[..7].fill(7);
            }
            Hash::from_bytes(bytes)
        };
        let all: Vec<Hash> = (0..3000).map(id).collect();
        for (number, hash) in (0..).zip(&all) {
            ids.insert(hash, Ix::from_position(number));
        }
        for (number, hash) in (0..).zip(&all) {
            let found = ids.find(hash, |ix| all[ix.position()] == *hash);
            assert_eq!(found, Some(Ix::from_position(number)));
        }
        for number in 3000..4000 {
            let other = id(number);
            assert_eq!(ids.find(&other, |ix| all[ix.position()] == other), None);
        }
        assert!(ids.buckets.len() > 100, "the buckets grow");
    }
}
