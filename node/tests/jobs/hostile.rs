//! Bad bytes over the real wire: each gets a typed error and a mark, and the
//! node goes on.
