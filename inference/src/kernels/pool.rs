//! Threads that share one kernel call: fork, join, and nothing else.
//!
//! The caller works too; helpers spin for a moment after a call, because the
//! next one usually comes within microseconds, and then park, so an idle shard
//! costs nothing. Parts are claimed one at a time, so a descheduled helper delays
//! only what it has claimed. Which thread computes a part changes no bit; that is
//! the kernels' duty. No queue, no nesting: a call from within a part runs there.

#![expect(
    unsafe_code,
    reason = "helpers borrow the caller's closure for the length of one call"
)]

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};

/// Looks at the ticket before a helper parks; about 0.2 ms.
const SPINS_BEFORE_PARK: u32 = 10_000;
/// Looks at the count of finished parts between two offers of the processor.
const SPINS_BEFORE_YIELD: u32 = 2_000;
/// Bits of a ticket that count claimed parts; twice: claimed, then all.
const PART_BITS: u32 = 20;
const PART_MASK: u64 = (1 << PART_BITS) - 1;
/// Parts of one call at most.
const PARTS_MAX: usize = (1 << PART_BITS) - 2;

thread_local! {
    static IS_WORKING: Cell<bool> = const { Cell::new(false) };
}

/// What a ticket says: the call's number, parts claimed, parts in all.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ticket(u64);

impl Ticket {
    const fn new(call: u64, parts: usize) -> Self {
        Self((call << (2 * PART_BITS)) | parts as u64)
    }

    const fn claimed(self) -> usize {
        ((self.0 >> PART_BITS) & PART_MASK) as usize
    }

    const fn parts(self) -> usize {
        (self.0 & PART_MASK) as usize
    }

    const fn after_claim(self) -> Self {
        Self(self.0 + (1 << PART_BITS))
    }
}

type Call = unsafe fn(*const (), usize);

struct Shared {
    ticket: AtomicU64,
    data: AtomicPtr<()>,
    call: AtomicPtr<()>,
    finished: AtomicUsize,
    panicked: AtomicBool,
    is_closing: AtomicBool,
}

struct Helper {
    is_parked: Arc<AtomicBool>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

/// A fixed number of threads for kernel calls, the caller's among them.
pub struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<Helper>,
    calls: Mutex<u64>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &self.threads())
            .finish()
    }
}

impl Pool {
    /// Starts `threads - 1` helpers. Where the system gives fewer, there are
    /// fewer; results do not depend on it.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            ticket: AtomicU64::new(0),
            data: AtomicPtr::new(std::ptr::null_mut()),
            call: AtomicPtr::new(std::ptr::null_mut()),
            finished: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
        });
        let helpers = (1..threads)
            .map_while(|number| Helper::start(number, &shared).ok())
            .collect();
        Self {
            shared,
            helpers,
            calls: Mutex::new(0),
        }
    }

    /// Threads that share a call, the caller's included.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Runs `work(part)` once for every part below `parts` and returns when all
    /// are done.
    ///
    /// # Panics
    /// When a part panicked, after all others have ended.
    pub fn run<F: Fn(usize) + Sync>(&self, parts: usize, work: &F) {
        let is_nested = IS_WORKING.get();
        if self.helpers.is_empty() || parts <= 1 || parts > PARTS_MAX || is_nested {
            (0..parts).for_each(work);
            return;
        }
        unsafe fn call<F: Fn(usize) + Sync>(data: *const (), part: usize) {
            // SAFETY: `data` is the `&F` of the call whose part was claimed; it
            // lives until `run` returns, which waits for this part.
            unsafe { (*data.cast::<F>())(part) };
        }
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls += 1;
        let shared = &*self.shared;
        shared.finished.store(0, Ordering::Relaxed);
        shared.data.store(
            std::ptr::from_ref(work).cast_mut().cast(),
            Ordering::Relaxed,
        );
        shared
            .call
            .store(call::<F> as Call as *mut (), Ordering::Relaxed);
        let ticket = Ticket::new(*calls, parts);
        shared.ticket.store(ticket.0, Ordering::SeqCst);
        for helper in &self.helpers {
            if helper.is_parked.load(Ordering::SeqCst) {
                helper.thread.unpark();
            }
        }
        IS_WORKING.set(true);
        let mut panic = None;
        while shared.claim(|part| {
            panic = catch_unwind(AssertUnwindSafe(|| work(part)))
                .err()
                .or_else(|| panic.take());
        }) {}
        IS_WORKING.set(false);
        let mut spins = 0;
        while shared.finished.load(Ordering::Acquire) < parts {
            spins += 1;
            if spins % SPINS_BEFORE_YIELD == 0 {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
        let helper_panicked = shared.panicked.swap(false, Ordering::Relaxed);
        drop(calls);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
        assert!(!helper_panicked, "a part of a kernel call panicked");
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.is_closing.store(true, Ordering::SeqCst);
        for helper in &mut self.helpers {
            helper.thread.unpark();
            if let Some(handle) = helper.handle.take() {
                // A helper catches every panic of a part, so it ends well.
                drop(handle.join());
            }
        }
    }
}

impl Helper {
    fn start(number: usize, shared: &Arc<Shared>) -> std::io::Result<Self> {
        let is_parked = Arc::new(AtomicBool::new(false));
        let (shared, parked) = (Arc::clone(shared), Arc::clone(&is_parked));
        let handle = std::thread::Builder::new()
            .name(format!("kernels-{number}"))
            .spawn(move || shared.help(&parked))?;
        Ok(Self {
            is_parked,
            thread: handle.thread().clone(),
            handle: Some(handle),
        })
    }
}

impl Shared {
    /// Claims one part of the present call and gives it to `work`. Says whether
    /// there was one.
    fn claim(&self, work: impl FnOnce(usize)) -> bool {
        let mut ticket = Ticket(self.ticket.load(Ordering::Acquire));
        while ticket.claimed() < ticket.parts() {
            match self.ticket.compare_exchange_weak(
                ticket.0,
                ticket.after_claim().0,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    work(ticket.claimed());
                    self.finished.fetch_add(1, Ordering::AcqRel);
                    return true;
                }
                Err(now) => ticket = Ticket(now),
            }
        }
        false
    }

    /// Until the pool closes: claims parts, spins, parks.
    fn help(&self, is_parked: &AtomicBool) {
        IS_WORKING.set(true);
        let mut spins = 0;
        while !self.is_closing.load(Ordering::Relaxed) {
            let did = self.claim(|part| {
                let data = self.data.load(Ordering::Relaxed);
                let call = self.call.load(Ordering::Relaxed);
                // SAFETY: `call` was stored from a `Call` before the ticket from
                // which this part was claimed, and is not stored again before
                // this part is counted as finished.
                let result = catch_unwind(AssertUnwindSafe(|| unsafe {
                    std::mem::transmute::<*mut (), Call>(call)(data, part);
                }));
                if result.is_err() {
                    self.panicked.store(true, Ordering::Relaxed);
                }
            });
            if did {
                spins = 0;
            } else if spins < SPINS_BEFORE_PARK {
                spins += 1;
                std::hint::spin_loop();
            } else {
                is_parked.store(true, Ordering::SeqCst);
                let ticket = Ticket(self.ticket.load(Ordering::SeqCst));
                let is_idle = ticket.claimed() >= ticket.parts();
                if is_idle && !self.is_closing.load(Ordering::SeqCst) {
                    std::thread::park();
                }
                is_parked.store(false, Ordering::SeqCst);
                spins = 0;
            }
        }
    }
}

/// A slice whose disjoint ranges several parts write at once.
pub(super) struct Shares<'a, T> {
    start: *mut T,
    len: usize,
    owner: PhantomData<&'a mut [T]>,
}

// SAFETY: it only hands out ranges that its callers promise to be disjoint.
unsafe impl<T: Send> Sync for Shares<'_, T> {}

impl<'a, T> Shares<'a, T> {
    pub(super) fn new(slice: &'a mut [T]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            owner: PhantomData,
        }
    }

    /// Where `range` starts, for parts that write only some of it.
    ///
    /// # Safety
    /// Nobody else may write or hold what the caller writes.
    pub(super) unsafe fn start(&self, range: Range<usize>) -> *mut T {
        assert!(range.start <= range.end && range.end <= self.len, "share");
        // SAFETY: in bounds by the check.
        unsafe { self.start.add(range.start) }
    }

    /// The elements of `range`.
    ///
    /// # Safety
    /// No other live slice of this may overlap `range`.
    #[expect(clippy::mut_from_ref, reason = "disjoint by the caller's promise")]
    pub(super) unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "share");
        // SAFETY: in bounds by the check, exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_runs_once_whatever_the_threads() {
        for threads in [1, 2, 3, 7] {
            let pool = Pool::new(threads);
            for parts in [0, 1, 2, 5, 64, 1000] {
                let counts: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
                for _ in 0..20 {
                    pool.run(parts, &|part| {
                        counts[part].fetch_add(1, Ordering::Relaxed);
                    });
                }
                assert!(
                    counts
                        .iter()
                        .all(|count| count.load(Ordering::Relaxed) == 20)
                );
            }
        }
    }

    #[test]
    fn helpers_wake_after_they_parked() {
        let pool = Pool::new(3);
        for _ in 0..3 {
            while !pool
                .helpers
                .iter()
                .all(|helper| helper.is_parked.load(Ordering::SeqCst))
            {
                std::thread::yield_now();
            }
            // Three parts that wait for each other need three threads.
            let barrier = std::sync::Barrier::new(3);
            pool.run(3, &|_| {
                barrier.wait();
            });
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2);
        for bad in 0..4 {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                pool.run(4, &|part| assert!(part != bad, "planned"));
            }));
            assert!(caught.is_err());
            let sum = AtomicUsize::new(0);
            pool.run(4, &|part| {
                sum.fetch_add(part, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 6);
        }
    }

    #[test]
    fn a_call_from_within_a_part_runs_there() {
        let pool = Pool::new(2);
        let sum = AtomicUsize::new(0);
        pool.run(4, &|_| {
            pool.run(4, &|part| {
                sum.fetch_add(part, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.into_inner(), 24);
    }
}
