//! The network between nodes: a mesh of links with delay, jitter, loss,
//! duplication, bandwidth and partitions.
//!
//! Gossip may be lost, doubled and overtaken. Requests travel over streams that
//! repeat what is lost, so loss only delays them. Nothing crosses a partition
//! but liars, who stand on both sides and carry nothing of others across.

use crate::random::Random;

/// How links behave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkSettings {
    pub(crate) degree: usize,
    pub(crate) delay_us: u64,
    pub(crate) jitter_us: u64,
    pub(crate) loss_percent: u64,
    pub(crate) double_percent: u64,
    pub(crate) bytes_per_ms: u64,
}

/// After which a stream repeats what was lost.
const REPEAT_US: u64 = 200_000;

#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) settings: LinkSettings,
    peers: Vec<Vec<u32>>,
    /// The side each node is on; everybody on 0 when there is no partition.
    side: Vec<u8>,
    bridges: Vec<bool>,
}

impl Links {
    /// Everybody with everybody in a small network; else two rings, so that
    /// nobody is alone, and random links up to the degree.
    pub(crate) fn new(count: usize, settings: LinkSettings, random: &mut Random) -> Self {
        let mut peers = vec![Vec::new(); count];
        let mut join = |a: usize, b: usize| {
            let (low, high) = (index(a), index(b));
            if a != b && !peers[a].contains(&high) {
                peers[a].push(high);
                peers[b].push(low);
            }
        };
        let near = if count <= settings.degree + 1 {
            count
        } else {
            2
        };
        for a in 0..count {
            for step in 1..=near {
                join(a, (a + step) % count);
            }
        }
        let extra = count * settings.degree.saturating_sub(4) / 2;
        for _ in 0..extra {
            let (a, b) = (random.below(count), random.below(count));
            join(a, b);
        }
        for list in &mut peers {
            list.sort_unstable();
        }
        Self {
            settings,
            peers,
            side: vec![0; count],
            bridges: vec![false; count],
        }
    }

    pub(crate) fn peers(&self, who: u32) -> &[u32] {
        &self.peers[at(who)]
    }

    pub(crate) fn side(&self, who: u32) -> u8 {
        self.side[at(who)]
    }

    pub(crate) fn make_bridge(&mut self, who: u32) {
        self.bridges[at(who)] = true;
    }

    pub(crate) fn is_parted(&self) -> bool {
        self.side.iter().any(|&side| side != 0)
    }

    /// Parts the nodes at random; both sides keep at least one founder where
    /// there are two.
    pub(crate) fn part(&mut self, random: &mut Random) {
        for side in &mut self.side {
            *side = u8::from(random.chance(50));
        }
        if let [first, second, ..] = self.side.as_mut_slice() {
            (*first, *second) = (0, 1);
        }
    }

    /// Parts the nodes below a number from the others.
    pub(crate) fn part_at(&mut self, boundary: usize) {
        for (node, side) in self.side.iter_mut().enumerate() {
            *side = u8::from(node >= boundary);
        }
    }

    pub(crate) fn heal(&mut self) {
        self.side.fill(0);
    }

    pub(crate) fn is_open(&self, a: u32, b: u32) -> bool {
        self.side(a) == self.side(b)
    }

    /// Whether a message that `a` wrote itself reaches `b`.
    pub(crate) fn is_open_for_own(&self, a: u32, b: u32) -> bool {
        self.is_open(a, b) || self.bridges[at(a)]
    }

    fn delay_us(&self, random: &mut Random) -> u64 {
        self.settings.delay_us + random.between(0, self.settings.jitter_us)
    }

    /// When the copies of one gossip message arrive: none, one or two.
    pub(crate) fn gossip_us(&self, random: &mut Random) -> [Option<u64>; 2] {
        if self.settings.loss_percent > 0 && random.chance(self.settings.loss_percent) {
            return [None, None];
        }
        let first = self.delay_us(random);
        let is_double =
            self.settings.double_percent > 0 && random.chance(self.settings.double_percent);
        let second = is_double.then(|| first + self.delay_us(random));
        [Some(first), second]
    }

    /// How long bytes travel on a stream.
    pub(crate) fn stream_us(&self, bytes: usize, random: &mut Random) -> u64 {
        let transfer = bytes as u64 * 1000 / self.settings.bytes_per_ms.max(1);
        let mut delay = self.delay_us(random) + transfer;
        while self.settings.loss_percent > 0 && random.chance(self.settings.loss_percent) {
            delay += REPEAT_US;
        }
        delay
    }
}

pub(crate) const fn at(who: u32) -> usize {
    who as usize
}

pub(crate) fn index(node: usize) -> u32 {
    u32::try_from(node).unwrap_or(u32::MAX)
}
