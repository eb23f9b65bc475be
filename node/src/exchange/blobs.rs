//! Blobs: the ones held here, and fetching others from peers.
//!
//! A blob is used only when its blake3 is right. A peer that sends ranges that
//! do not fit or bytes with another hash gets a mark, and the next candidate is
//! asked; a peer that does not have the blob or does not answer is just passed
//! over.

use crate::core::peers::Mark;
use crate::exchange::{ExchangeError, Protocol};
use crate::swarm::SwarmHandle;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use talkoot_protocol::blob::{self, BlobAssembly, BlobRequest, BlobResponse};
use talkoot_protocol::{Hash, Wallet};

/// How long one range may take.
const RANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// The blobs this node serves; cheap to clone, all clones are one store.
#[derive(Debug, Clone, Default)]
pub struct BlobStore(Arc<RwLock<BTreeMap<Hash, Arc<[u8]>>>>);

impl BlobStore {
    /// Adds a blob and gives its hash.
    pub fn insert(&self, bytes: Arc<[u8]>) -> Hash {
        let hash = Hash::of_blob(&bytes);
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(hash, bytes);
        hash
    }

    /// Stops serving a blob.
    pub fn remove(&self, hash: &Hash) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(hash);
    }

    /// A held blob.
    #[must_use]
    pub fn get(&self, hash: &Hash) -> Option<Arc<[u8]>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(hash)
            .cloned()
    }

    /// Answers a request.
    ///
    /// # Errors
    /// The [`Mark`] that the asker deserves.
    pub fn serve(&self, request: &[u8]) -> Result<Vec<u8>, Mark> {
        let request = BlobRequest::decode(request)?;
        let response = match self.get(&request.hash) {
            Some(bytes) => blob::serve(&bytes, &request),
            None => BlobResponse::NotFound,
        };
        Ok(response.to_bytes())
    }
}

/// Why a blob could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Nobody was there to ask.
    #[error("no peer is known that could have the blob {0}")]
    NoCandidates(Hash),
    /// Nobody had it, or nobody sent it rightly.
    #[error("none of {asked} peers gave the blob {hash}; the last: {last}")]
    Failed {
        /// Which blob.
        hash: Hash,
        /// How many peers were asked.
        asked: usize,
        /// What the last one did.
        last: String,
    },
}

/// Fetches one blob, asking one candidate after the other.
///
/// # Errors
/// [`FetchError`].
pub async fn fetch(
    swarm: &SwarmHandle,
    hash: Hash,
    candidates: &[Wallet],
) -> Result<Vec<u8>, FetchError> {
    let mut last = None;
    for peer in candidates {
        match fetch_from(swarm, hash, *peer).await {
            Ok(bytes) => return Ok(bytes),
            Err(failure) => {
                if let Failure::Fault(mark) = &failure {
                    swarm.mark(*peer, mark.clone());
                }
                tracing::debug!(peer = %peer.short(), blob = %hash.short(), %failure, "blob not fetched");
                last = Some(failure.to_string());
            }
        }
    }
    Err(
        last.map_or(FetchError::NoCandidates(hash), |last| FetchError::Failed {
            hash,
            asked: candidates.len(),
            last,
        }),
    )
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Exchange(#[from] ExchangeError),
    #[error("it does not hold it")]
    NotFound,
    #[error("it {0}")]
    Fault(Mark),
}

async fn fetch_from(swarm: &SwarmHandle, hash: Hash, peer: Wallet) -> Result<Vec<u8>, Failure> {
    let mut assembly = BlobAssembly::new(hash);
    loop {
        let request = assembly.next_request().to_bytes();
        let answer = swarm
            .request(peer, Protocol::Blob, request, RANGE_TIMEOUT)
            .await?;
        let response =
            BlobResponse::decode(&answer).map_err(|error| Failure::Fault(error.into()))?;
        let BlobResponse::Range { total, bytes } = response else {
            return Err(Failure::NotFound);
        };
        let pushed = assembly
            .push(total, &bytes)
            .map_err(|error| Failure::Fault(Mark::Invalid(error.to_string())))?;
        if let Some(blob) = pushed {
            return Ok(blob);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_or_marked() {
        let store = BlobStore::default();
        let hash = store.insert(Arc::from(vec![5; 100]));
        let request = BlobAssembly::new(hash).next_request();
        let answer = store.serve(&request.to_bytes()).unwrap();
        let mut assembly = BlobAssembly::new(hash);
        match BlobResponse::decode(&answer).unwrap() {
            BlobResponse::Range { total, bytes } => {
                assert_eq!(assembly.push(total, &bytes), Ok(Some(vec![5; 100])));
            }
            BlobResponse::NotFound => panic!("it is held"),
        }
        store.remove(&hash);
        let answer = store.serve(&request.to_bytes()).unwrap();
        assert_eq!(BlobResponse::decode(&answer), Ok(BlobResponse::NotFound));

        let mut zero = request;
        zero.length = 0;
        assert_eq!(
            store.serve(&zero.to_bytes()),
            Err(Mark::OutOfBounds("blob length"))
        );
        assert!(matches!(store.serve(&[1, 2, 3]), Err(Mark::Malformed(_))));
    }
}
