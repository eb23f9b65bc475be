//! The ledger thread. (interface; see `BooksHandle`)
/// A handle to the thread that owns the books; cheap to clone.
#[derive(Debug, Clone)]
pub struct BooksHandle;
