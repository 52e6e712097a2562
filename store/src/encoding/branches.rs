//! The way down a trie, which its nodes do not have: they say their parents.

use super::symbols::Node;

/// A trie whose children are at hand.
pub(crate) struct Branches {
    /// Where each node's children begin in `order`; one more than nodes.
    starts: Vec<u32>,
    /// Nodes (from 1), children of one parent together, largest first.
    order: Vec<u32>,
}

impl Branches {
    /// `key` decides which child comes first: the one with the least.
    pub(crate) fn of<K: Ord>(nodes: &[Node], key: impl Fn(u32) -> K) -> Self {
        let mut starts = vec![0_u32; nodes.len() + 2];
        for node in nodes {
            if let Some(count) = starts.get_mut(node.parent as usize + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut next = starts.clone();
        let mut order = vec![0_u32; nodes.len()];
        for (id, node) in (1_u32..).zip(nodes) {
            let Some(place) = next.get_mut(node.parent as usize) else { continue };
            if let Some(slot) = order.get_mut(*place as usize) {
                *slot = id;
            }
            *place += 1;
        }
        let mut branches = Self { starts, order };
        for parent in 0..nodes.len() {
            let range = branches.range(parent);
            if let Some(children) = branches.order.get_mut(range) {
                children.sort_by_key(|child| key(*child));
            }
        }
        branches
    }

    fn range(&self, parent: usize) -> std::ops::Range<usize> {
        let at = |index: usize| self.starts.get(index).copied().unwrap_or(0) as usize;
        at(parent)..at(parent + 1)
    }

    /// Children of a node, largest first.
    pub(crate) fn of_node(&self, parent: u32) -> &[u32] {
        self.order.get(self.range(parent as usize)).unwrap_or_default()
    }

    /// Depth first: `enter` with each node and its depth, and whether to go on below it; `leave` when all below it is done.
    pub(crate) fn walk(&self, mut enter: impl FnMut(u32, u32) -> bool, mut leave: impl FnMut(u32)) {
        // A node, its depth, and whether it has been entered. No recursion: stacks may be deeper than ours.
        let mut open: Vec<(u32, u32, bool)> = Vec::new();
        open.extend(self.of_node(0).iter().rev().map(|root| (*root, 0, false)));
        while let Some((node, depth, entered)) = open.pop() {
            if entered {
                leave(node);
            } else if enter(node, depth) {
                open.push((node, depth, true));
                open.extend(self.of_node(node).iter().rev().map(|child| (*child, depth + 1, false)));
            }
        }
    }
}
