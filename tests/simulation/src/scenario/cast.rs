//! Who lies in which scenario, and how: liars by scenario and chance.

use super::Scenario;
use crate::liars::{
    self, CheatingFounder, Crowd, Doubler, Finalizer, Forker, Liar, Releaser, Server, Withholder,
};
use crate::links::index;
use crate::random::Random;
use crate::world::Settings;

type Cast = Vec<(usize, Box<dyn Liar>)>;

/// Which node lies in which way.
pub(super) fn liars(
    scenario: Scenario,
    random: &mut Random,
    settings: &Settings,
) -> Vec<(u32, Box<dyn Liar>)> {
    let mut members: Vec<usize> = (settings.founders..settings.nodes).collect();
    random.shuffle(&mut members);
    let cast = match scenario {
        Scenario::Crashes => Vec::new(),
        Scenario::Garbage => vec![(settings.founders, Box::new(Crowd::of(10_000)) as _)],
        Scenario::Directed => directed(random, &members),
        Scenario::Partitions => partitions(random, &members),
        Scenario::Majority => majority(random, settings.founders, &members),
        Scenario::Releases => releases(random, &members),
        Scenario::Small | Scenario::General | Scenario::Large => mixed(random, &members),
    };
    let numbered = cast.into_iter().map(|(who, liar)| (index(who), liar));
    numbered.collect()
}

fn either(random: &mut Random, first: Box<dyn Liar>, second: Box<dyn Liar>) -> Box<dyn Liar> {
    if random.chance(50) { first } else { second }
}

fn directed(random: &mut Random, members: &[usize]) -> Cast {
    let founder = either(random, Box::new(Doubler), Box::new(Forker));
    let stage = members.iter().take(1);
    let stage = stage.map(|who| (*who, Box::new(Finalizer) as _));
    [(0, founder)].into_iter().chain(stage).collect()
}

fn partitions(random: &mut Random, members: &[usize]) -> Cast {
    let mut cast: Cast = vec![(0, Box::new(Doubler))];
    for who in members.iter().take(members.len() / 2) {
        cast.push((*who, either(random, Box::new(Doubler), Box::new(Finalizer))));
    }
    cast
}

fn majority(random: &mut Random, founders: usize, members: &[usize]) -> Cast {
    let mut cast: Cast = Vec::new();
    for who in 0..founders / 2 {
        cast.push((who, Box::new(CheatingFounder)));
    }
    for who in members.iter().take(members.len() / 2) {
        cast.push((*who, liars::any(random.below(100))));
    }
    cast
}

fn releases(random: &mut Random, members: &[usize]) -> Cast {
    let second: Box<dyn Liar> = match random.below(3) {
        0 => Box::new(Withholder::LATE),
        1 => Box::new(Finalizer),
        _ => Box::new(Releaser),
    };
    let others: [Box<dyn Liar>; 2] = [Box::new(Withholder::FINALS), second];
    let others = members.iter().copied().zip(others);
    let mut cast: Cast = vec![(0, Box::new(CheatingFounder))];
    cast.extend(others);
    cast
}

fn mixed(random: &mut Random, members: &[usize]) -> Cast {
    let mut cast: Cast = Vec::new();
    if random.chance(60) {
        let other = liars::any(random.below(100));
        cast.push((0, either(random, Box::new(CheatingFounder), other)));
    }
    let count = random.below(members.len() + 1);
    for who in members.iter().take(count) {
        cast.push((*who, liars::any(random.below(100))));
    }
    if let Some(who) = members.get(count).filter(|_| random.chance(20)) {
        cast.push((*who, Box::new(Server::NOTHING)));
    }
    cast
}
