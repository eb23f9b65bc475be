//! What stops a node from outside: signals, and the end of stdin.

use crate::exit::Failure;
use std::io::Read;
use tokio::sync::watch;

/// Waits for any of them, as often as it is asked.
#[derive(Debug)]
pub(super) struct StopSignals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    stdin_ended: watch::Receiver<bool>,
}

impl StopSignals {
    /// Starts listening; from now on signals do not kill the process.
    pub(super) fn new(with_stdin: bool) -> Result<Self, Failure> {
        let (sender, stdin_ended) = watch::channel(false);
        if with_stdin {
            watch_stdin(sender);
        } else {
            // The channel stays open and silent for as long as the process runs.
            std::mem::forget(sender);
        }
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                stdin_ended,
            })
        }
        #[cfg(not(unix))]
        Ok(Self { stdin_ended })
    }

    /// Completes at the next one.
    pub(super) async fn any(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.stdin_ended.changed() => {}
        }
        #[cfg(not(unix))]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = self.stdin_ended.changed() => {}
        }
    }
}

/// A thread of its own: reading stdin cannot be cancelled.
fn watch_stdin(sender: watch::Sender<bool>) {
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = [0_u8; 64];
        while matches!(stdin.read(&mut buffer), Ok(count) if count > 0) {}
        let _ = sender.send(true);
        // A closed channel would complete `changed` again and again.
        std::mem::forget(sender);
    });
}
