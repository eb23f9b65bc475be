//! The thread that owns a shard. (interface)
/// A handle to the thread; cheap to clone.
#[derive(Debug, Clone)]
pub struct WorkerHandle;
