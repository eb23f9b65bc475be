//! A file in memory that fails on purpose: the twin of the real one.
//!
//! It keeps what is durable apart from what was only written, counts calls, and
//! at a chosen call stops as a machine does that loses power: of the writes
//! since the last sync each may survive whole, in part, or not at all. A chosen
//! sync can also fail while the machine goes on.

use super::file::DurableFile;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { length: usize },
}

#[derive(Debug, Default)]
struct State {
    durable: Vec<u8>,
    cached: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug, Default)]
struct Machine {
    calls: u64,
    power_off_at: Option<u64>,
    sync_fails_at: Option<u64>,
    is_off: bool,
    random: u64,
}

/// The power supply that several files share.
#[derive(Debug, Clone, Default)]
pub struct Power(Arc<Mutex<Machine>>);

/// A file in memory. Clones are the same file.
#[derive(Debug, Clone)]
pub struct FaultyFile {
    state: Arc<Mutex<State>>,
    power: Power,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn off() -> io::Error {
    io::Error::other("the power is off")
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { offset, bytes: new } => {
            let end = offset.saturating_add(new.len());
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            if let Some(place) = bytes.get_mut(*offset..end) {
                place.copy_from_slice(new);
            }
        }
        Change::Truncate { length } => bytes.truncate(*length),
    }
}

impl Power {
    /// Power that fails at the given call (counted over all files), or never.
    #[must_use]
    pub fn failing_at(call: Option<u64>, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Machine {
            power_off_at: call,
            random: seed,
            ..Machine::default()
        })))
    }

    /// Power that never fails, over a disk whose given call fails if it is a
    /// sync.
    #[must_use]
    pub fn with_sync_failing_at(call: u64) -> Self {
        Self(Arc::new(Mutex::new(Machine {
            sync_fails_at: Some(call),
            ..Machine::default()
        })))
    }

    /// Calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        lock(&self.0).calls
    }

    /// Whether the power has failed.
    #[must_use]
    pub fn is_off(&self) -> bool {
        lock(&self.0).is_off
    }

    fn call(&self) -> (bool, bool) {
        let mut machine = lock(&self.0);
        if machine.is_off {
            return (true, false);
        }
        let now = machine.calls;
        machine.calls = now.saturating_add(1);
        machine.is_off = machine.power_off_at == Some(now);
        (machine.is_off, machine.sync_fails_at == Some(now))
    }

    fn draw(&self) -> u64 {
        let mut machine = lock(&self.0);
        machine.random = machine
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        machine.random >> 33
    }
}

impl FaultyFile {
    /// An empty file.
    #[must_use]
    pub fn new(power: &Power) -> Self {
        Self {
            state: Arc::default(),
            power: power.clone(),
        }
    }

    /// A file that holds these bytes, durable.
    #[must_use]
    pub fn holding(bytes: Vec<u8>, power: &Power) -> Self {
        let state = State {
            durable: bytes.clone(),
            cached: bytes,
            unsynced: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            power: power.clone(),
        }
    }

    /// What is on the disk after the machine has lost its power: everything
    /// synced, and an arbitrary part of the rest.
    #[must_use]
    pub fn survivor(&self) -> Vec<u8> {
        let state = lock(&self.state);
        let mut bytes = state.durable.clone();
        for change in &state.unsynced {
            let fate = self.power.draw().checked_rem(4).unwrap_or(0);
            match (fate, change) {
                (0, _) => {}
                (1, Change::Write { offset, bytes: new }) => {
                    let keep = usize::try_from(self.power.draw())
                        .unwrap_or(0)
                        .checked_rem(new.len().max(1))
                        .unwrap_or(0);
                    let part = new.get(..keep).unwrap_or_default().to_vec();
                    apply(
                        &mut bytes,
                        &Change::Write {
                            offset: *offset,
                            bytes: part,
                        },
                    );
                }
                (2, Change::Write { offset, bytes: new }) => {
                    // The length was updated, the data was not.
                    apply(
                        &mut bytes,
                        &Change::Write {
                            offset: *offset,
                            bytes: vec![0; new.len()],
                        },
                    );
                }
                _ => apply(&mut bytes, change),
            }
        }
        bytes
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let (is_off, _) = self.power.call();
        let mut state = lock(&self.state);
        if is_off {
            // The call that the power failed in may have reached the cache.
            if !state.unsynced.is_empty() || self.power.draw().is_multiple_of(2) {
                state.unsynced.push(change);
            }
            return Err(off());
        }
        apply(&mut state.cached, &change);
        state.unsynced.push(change);
        Ok(())
    }
}

impl DurableFile for FaultyFile {
    fn length(&mut self) -> io::Result<u64> {
        Ok(lock(&self.state).cached.len() as u64)
    }

    fn read_exact_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let state = lock(&self.state);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.saturating_add(buffer.len());
        let bytes = state
            .cached
            .get(start..end)
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.change(Change::Write {
            offset,
            bytes: bytes.to_vec(),
        })
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.change(Change::Truncate { length })
    }

    fn sync(&mut self) -> io::Result<()> {
        let (is_off, fails) = self.power.call();
        if is_off {
            return Err(off());
        }
        if fails {
            return Err(io::Error::other("the disk does not answer"));
        }
        let mut state = lock(&self.state);
        let State {
            durable, unsynced, ..
        } = &mut *state;
        for change in unsynced.drain(..) {
            apply(durable, &change);
        }
        Ok(())
    }
}
