//! The newest entries of each author: a map that shares what it can.
//!
//! Pasts overlap almost wholly, so they are kept as tries over the authors'
//! numbers whose parts are shared between entries: an entry costs what its past
//! adds to those of its parents, and joining two pasts looks only at parts that
//! differ. Of a log that is a line one tip says all; of a forked log there may
//! be several. This file does not know which sets are closed.

use crate::graph::{AuthorIx, Graph, Ix};
use std::sync::Arc;

/// Authors in a leaf.
const LEAF: usize = 16;
const LEAF_BITS: u32 = 4;
/// Children of a branch.
const FAN: usize = 8;
const FAN_BITS: u32 = 3;

/// No tip.
const NONE: Ix = Ix::from_position(u32::MAX);
/// Several tips, which stand in [`Leaf::many`].
const MANY: Ix = Ix::from_position(u32::MAX - 1);

/// Sorted tips of authors that have several, by their place in a leaf.
type Many = Vec<(usize, Box<[Ix]>)>;

/// The tips of [`LEAF`] neighbouring authors.
#[derive(Debug, Clone)]
struct Leaf {
    tips: [Ix; LEAF],
    /// Boxed, because forks are rare and a leaf should stay small.
    many: Option<Box<Many>>,
}

impl Leaf {
    const EMPTY: Self = Self {
        tips: [NONE; LEAF],
        many: None,
    };

    fn get(&self, place: usize) -> &[Ix] {
        match self.tips.get(place) {
            None | Some(&NONE) => &[],
            Some(&MANY) => {
                let mut many = self.many.iter().flat_map(|many| many.iter());
                many.find(|(at, _)| *at == place)
                    .map_or(&[], |(_, tips)| tips)
            }
            Some(tip) => std::slice::from_ref(tip),
        }
    }

    fn set(&mut self, place: usize, tips: &[Ix]) {
        if let Some(many) = &mut self.many {
            many.retain(|(at, _)| *at != place);
        }
        let value = match tips {
            [] => NONE,
            [tip] => *tip,
            several => {
                let many = self.many.get_or_insert_default();
                many.push((place, several.into()));
                MANY
            }
        };
        if let Some(slot) = self.tips.get_mut(place) {
            *slot = value;
        }
    }
}

#[derive(Debug, Clone, Default)]
enum Tree {
    #[default]
    Empty,
    Leaf(Arc<Leaf>),
    /// How many levels of branches stand here, and the children.
    Branch(u32, Arc<[Self; FAN]>),
}

/// What joining two trees gave.
enum Joined {
    Left,
    Right,
    New(Tree),
}

impl Tree {
    const fn height(&self) -> u32 {
        match self {
            Self::Empty | Self::Leaf(_) => 0,
            Self::Branch(height, _) => *height,
        }
    }

    /// The same tree with at least this many levels.
    fn raised(self, height: u32) -> Self {
        if matches!(self, Self::Empty) {
            return self;
        }
        let mut tree = self;
        while tree.height() < height {
            let level = tree.height().saturating_add(1);
            let mut children: [Self; FAN] = Default::default();
            if let Some(first) = children.first_mut() {
                *first = tree;
            }
            tree = Self::Branch(level, Arc::new(children));
        }
        tree
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Empty, Self::Empty) => true,
            (Self::Leaf(a), Self::Leaf(b)) => Arc::ptr_eq(a, b),
            (Self::Branch(_, a), Self::Branch(_, b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// How far the author's number is shifted at a branch of this height.
const fn shift_at(height: u32) -> u32 {
    LEAF_BITS.saturating_add(height.saturating_sub(1).saturating_mul(FAN_BITS))
}

/// Which child of a branch at `height` leads to an author.
fn child_of(author: AuthorIx, height: u32) -> usize {
    let number = author.number().checked_shr(shift_at(height)).unwrap_or(0);
    (number & ((1 << FAN_BITS) - 1)) as usize
}

/// The place of an author in its leaf.
const fn place_of(author: AuthorIx) -> usize {
    (author.number() & ((1 << LEAF_BITS) - 1)) as usize
}

/// How many levels of branches a tree needs to hold an author.
const fn height_for(author: AuthorIx) -> u32 {
    let mut height = 0_u32;
    let mut rest = author.number() >> LEAF_BITS;
    while rest > 0 {
        rest >>= FAN_BITS;
        height = height.saturating_add(1);
    }
    height
}

/// The first author under a child of a branch at `height`.
fn first_of(first: u32, height: u32, child: usize) -> u32 {
    let child = u32::try_from(child).unwrap_or(u32::MAX);
    first | child.checked_shl(shift_at(height)).unwrap_or(0)
}

fn author_at(first: u32, place: usize) -> AuthorIx {
    AuthorIx::from_number(first | u32::try_from(place).unwrap_or(u32::MAX))
}

/// Newest entries by author.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tips(Tree);

impl Tips {
    /// The newest entries of one author, sorted.
    pub(crate) fn get(&self, author: AuthorIx) -> &[Ix] {
        if height_for(author) > self.0.height() {
            return &[];
        }
        let mut tree = &self.0;
        loop {
            match tree {
                Tree::Empty => return &[],
                Tree::Leaf(leaf) => return leaf.get(place_of(author)),
                Tree::Branch(height, children) => {
                    let Some(child) = children.get(child_of(author, *height)) else {
                        return &[];
                    };
                    tree = child;
                }
            }
        }
    }

    /// Adds an entry; its log ancestors count as held with it.
    pub(crate) fn insert(&mut self, graph: &Graph, author: AuthorIx, ix: Ix) {
        let held = self.get(author);
        if held == [ix] {
            return;
        }
        let tips = merged(graph, author, held, &[ix]);
        if held == tips.as_slice() {
            return;
        }
        let height = height_for(author).max(self.0.height());
        self.0 = std::mem::take(&mut self.0).raised(height);
        let mut tree = &mut self.0;
        for level in (1..=height).rev() {
            if matches!(tree, Tree::Empty) {
                *tree = Tree::Branch(level, Arc::default());
            }
            let Tree::Branch(_, children) = tree else {
                return;
            };
            let Some(child) = Arc::make_mut(children).get_mut(child_of(author, level)) else {
                return;
            };
            tree = child;
        }
        if matches!(tree, Tree::Empty) {
            *tree = Tree::Leaf(Arc::new(Leaf::EMPTY));
        }
        if let Tree::Leaf(leaf) = tree {
            Arc::make_mut(leaf).set(place_of(author), &tips);
        }
    }

    /// Adds all of another map.
    pub(crate) fn join(&mut self, graph: &Graph, other: &Self) {
        let height = self.0.height().max(other.0.height());
        self.0 = std::mem::take(&mut self.0).raised(height);
        let other = other.0.clone().raised(height);
        match join(graph, &self.0, &other, 0) {
            Joined::Left => {}
            Joined::Right => self.0 = other,
            Joined::New(tree) => self.0 = tree,
        }
    }

    /// Visits the authors that have tips here and not the same in `before`.
    pub(crate) fn since(&self, before: &Self, visit: &mut dyn FnMut(AuthorIx, &[Ix])) {
        let height = self.0.height().max(before.0.height());
        let tree = self.0.clone().raised(height);
        since(&tree, &before.0.clone().raised(height), 0, visit);
    }
}

/// The tips of one author in the union of two sets: those that are no log
/// ancestors of others, sorted.
fn merged(graph: &Graph, author: AuthorIx, a: &[Ix], b: &[Ix]) -> Vec<Ix> {
    if graph.is_line(author) {
        // In a line a later index is a higher number.
        return a.iter().chain(b).copied().max().into_iter().collect();
    }
    let mut all: Vec<Ix> = a.iter().chain(b).copied().collect();
    all.sort_unstable();
    all.dedup();
    // Ancestors have lower indices, so only later ones can cover.
    let is_tip = |(position, &ix): (usize, &Ix)| {
        let later = all.get(position.saturating_add(1)..).unwrap_or_default();
        let is_covered = later.iter().any(|&newer| graph.in_log_of(ix, newer));
        (!is_covered).then_some(ix)
    };
    all.iter().enumerate().filter_map(is_tip).collect()
}

/// Joins two trees of one height whose first author is `first`.
fn join(graph: &Graph, a: &Tree, b: &Tree, first: u32) -> Joined {
    match (a, b) {
        (_, Tree::Empty) => Joined::Left,
        (Tree::Empty, _) => Joined::Right,
        (a, b) if a.is_same(b) => Joined::Left,
        (Tree::Leaf(a), Tree::Leaf(b)) => join_leaves(graph, a, b, first),
        (Tree::Branch(height, a), Tree::Branch(_, b)) => {
            join_branches(graph, (a, b), *height, first)
        }
        // Trees of one height: a leaf never meets a branch.
        _ => Joined::Left,
    }
}

fn join_branches(
    graph: &Graph,
    (a, b): (&[Tree; FAN], &[Tree; FAN]),
    height: u32,
    first: u32,
) -> Joined {
    let (mut is_left, mut is_right) = (true, true);
    let mut changed: [Option<Tree>; FAN] = Default::default();
    let slots = a.iter().zip(b).zip(changed.iter_mut()).enumerate();
    for (child, ((left, right), slot)) in slots {
        if left.is_same(right) {
            continue;
        }
        match join(graph, left, right, first_of(first, height, child)) {
            Joined::Left => is_right = false,
            Joined::Right => {
                is_left = false;
                *slot = Some(right.clone());
            }
            Joined::New(tree) => {
                (is_left, is_right) = (false, false);
                *slot = Some(tree);
            }
        }
    }
    if is_left {
        return Joined::Left;
    }
    if is_right {
        return Joined::Right;
    }
    let mut children = a.clone();
    for (slot, tree) in children.iter_mut().zip(changed) {
        if let Some(tree) = tree {
            *slot = tree;
        }
    }
    Joined::New(Tree::Branch(height, Arc::new(children)))
}

fn join_leaves(graph: &Graph, a: &Leaf, b: &Leaf, first: u32) -> Joined {
    let (mut is_left, mut is_right) = (true, true);
    let mut joined = a.clone();
    for place in 0..LEAF {
        let (left, right) = (a.get(place), b.get(place));
        if left == right {
            continue;
        }
        if right.is_empty() {
            is_right = false;
        } else if left.is_empty() {
            is_left = false;
            joined.set(place, right);
        } else if let ([one], [other], true) = (left, right, graph.is_line(author_at(first, place)))
        {
            // In a line a later index is a higher number.
            if one > other {
                is_right = false;
            } else {
                is_left = false;
                joined.set(place, right);
            }
        } else {
            let tips = merged(graph, author_at(first, place), left, right);
            is_left &= tips == left;
            is_right &= tips == right;
            joined.set(place, &tips);
        }
    }
    if is_left {
        Joined::Left
    } else if is_right {
        Joined::Right
    } else {
        Joined::New(Tree::Leaf(Arc::new(joined)))
    }
}

fn since(tree: &Tree, before: &Tree, first: u32, visit: &mut dyn FnMut(AuthorIx, &[Ix])) {
    if tree.is_same(before) {
        return;
    }
    match tree {
        Tree::Empty => {}
        Tree::Leaf(leaf) => {
            for place in 0..LEAF {
                let old = match before {
                    Tree::Leaf(before) => before.get(place),
                    _ => &[],
                };
                let tips = leaf.get(place);
                if tips != old && !tips.is_empty() {
                    visit(author_at(first, place), tips);
                }
            }
        }
        Tree::Branch(height, children) => {
            for (child, tree) in children.iter().enumerate() {
                let old = match before {
                    Tree::Branch(_, before) => before.get(child),
                    _ => None,
                };
                let first = first_of(first, *height, child);
                since(tree, old.unwrap_or(&Tree::Empty), first, visit);
            }
        }
    }
}
