//! Answers sync requests with rubbish, or as if there were nothing new.

use super::Liar;
use crate::invariants::Lawful;
use crate::node::{Node, Serving};
use crate::world::World;

#[derive(Debug)]
pub(crate) struct Server(Serving);

impl Server {
    pub(crate) const RUBBISH: Self = Self(Serving::Rubbish);
    pub(crate) const NOTHING: Self = Self(Serving::Nothing);
}

impl Liar for Server {
    fn name(&self) -> &'static str {
        "liars_server"
    }

    fn settle_in(&mut self, node: &mut Node) {
        node.serving = self.0;
    }

    fn act(&mut self, _: &mut World, _: u32) -> Lawful {
        Ok(())
    }
}
