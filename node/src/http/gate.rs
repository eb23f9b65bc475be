//! What the owner decided about the port, and what it keeps while it is open:
//! names and origins, keys and their accounts, places, metrics.

use super::admission::{Admission, AdmissionLimits};
use super::keys::Accounts;
use crate::keys::KeyRing;
use crate::metrics::Metrics;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Who may use the port, and how much.
#[derive(Debug, Clone)]
pub struct PortSettings {
    /// The cookie of `api.json`.
    pub token: String,
    /// The keys that are good beyond this machine.
    pub keys: KeyRing,
    /// Where it is written what keys have burned; none forgets it.
    pub usage_path: Option<PathBuf>,
    /// Names in `Host` besides those of loopback, without a port.
    pub hosts: Vec<String>,
    /// Addresses whose programs count as this machine's.
    pub locals: Vec<IpAddr>,
    /// Origins of web pages that may ask, exactly as browsers send them.
    pub origins: Vec<String>,
    /// Whether the dashboard is there.
    pub dashboard: bool,
    /// Answers at once, and how many wait.
    pub limits: AdmissionLimits,
}

impl PortSettings {
    /// A port for programs of this machine.
    #[must_use]
    pub fn local(token: impl Into<String>) -> Self {
        Self {
            token: token.into(),
            keys: KeyRing::empty(),
            usage_path: None,
            hosts: Vec::new(),
            locals: Vec::new(),
            origins: Vec::new(),
            dashboard: true,
            limits: AdmissionLimits::default(),
        }
    }
}

/// The same, at work.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) token: String,
    pub(crate) keys: KeyRing,
    pub(crate) hosts: Vec<String>,
    pub(crate) locals: Vec<IpAddr>,
    pub(crate) origins: Vec<String>,
    pub(crate) has_dashboard: bool,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) admission: Admission,
    pub(crate) metrics: Metrics,
}

impl Gate {
    pub(crate) fn new(settings: PortSettings) -> Self {
        let accounts = Arc::new(Accounts::open(settings.usage_path));
        Self {
            token: settings.token,
            keys: settings.keys,
            hosts: settings.hosts,
            locals: settings.locals,
            origins: settings.origins,
            has_dashboard: settings.dashboard,
            admission: Admission::new(settings.limits, Arc::clone(&accounts)),
            accounts,
            metrics: Metrics::new(),
        }
    }
}
