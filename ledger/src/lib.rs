//! The replicated books.
