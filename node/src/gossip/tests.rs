//! Control planes on real loopback sockets: they meet, agree and survive.

mod hostile;
mod meeting;
mod peer;
