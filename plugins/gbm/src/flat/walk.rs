//! The hot loops: one row down several trees at once, and several rows down one tree at once.
//!
//! Each step waits for the one before it, so eight walks share a loop and wait together. A single
//! row goes down eight trees of similar depth; of many rows eight go down the same tree, whose
//! nodes then stay in the nearest cache. Leaves are added in the order of the model, which is the
//! library's order, so that the sums have the same bits either way.

use super::layout::{Layout, Node};
use super::{Forest, Sums};

/// Walks that share a loop.
const LANES: usize = 8;
/// Rows whose sums are built tree by tree before the next rows begin.
const BLOCK_ROWS: usize = 8 * LANES;

/// Buffers of one thread; made once and used for every prediction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scratch {
    row: Vec<[f32; 1]>,
    reached: Vec<f64>,
    lanes: Vec<[f32; LANES]>,
}

impl Forest {
    /// Answers one row of [`columns`](Self::columns) numbers.
    pub(crate) fn predict_row(&self, row: &[f32], scratch: &mut Scratch, answer: &mut [f64]) {
        let Layout { nodes, leaves, .. } = &self.layout;
        scratch.row.resize(self.layout.width(), [0.0]);
        scratch.reached.resize(self.layout.roots.len(), 0.0);
        self.layout.prepare(row, &mut scratch.row, 0);
        let (prepared, reached) = (&scratch.row[..], &mut scratch.reached[..]);
        let mut groups = self.layout.by_depth.chunks_exact(LANES);
        for group in &mut groups {
            let mut at = [0; LANES];
            for (at, root) in at.iter_mut().zip(group) {
                *at = root.node;
            }
            for _ in 0..group[LANES - 1].depth {
                for at in &mut at {
                    let node = nodes[*at as usize];
                    *at = next(*at, node, prepared[usize::from(node.source)][0]);
                }
            }
            for (at, root) in at.iter().zip(group) {
                reached[root.tree as usize] = leaves[nodes[*at as usize].leaf()];
            }
        }
        for root in groups.remainder() {
            let mut at = root.node;
            for _ in 0..root.depth {
                let node = nodes[at as usize];
                at = next(at, node, prepared[usize::from(node.source)][0]);
            }
            reached[root.tree as usize] = leaves[nodes[at as usize].leaf()];
        }
        self.sums.start(answer);
        for iteration in reached.chunks_exact(self.classes) {
            for (sum, leaf) in answer.iter_mut().zip(iteration) {
                self.sums.add(sum, *leaf);
            }
        }
        self.link.apply(answer);
    }

    /// Answers `answers.len() / outputs` rows, each given by its position.
    pub(crate) fn predict_rows<'a>(
        &self,
        row: impl Fn(usize) -> &'a [f32],
        scratch: &mut Scratch,
        answers: &mut [f64],
    ) {
        let blocks = answers.chunks_mut(BLOCK_ROWS * self.classes);
        for (block, answers) in blocks.enumerate() {
            let first = block * BLOCK_ROWS;
            self.predict_block(|position| row(first + position), scratch, answers);
        }
    }

    fn predict_block<'a>(
        &self,
        row: impl Fn(usize) -> &'a [f32],
        scratch: &mut Scratch,
        answers: &mut [f64],
    ) {
        let (rows, width) = (answers.len() / self.classes, self.layout.width());
        let whole = rows - rows % LANES;
        scratch.lanes.resize(whole / LANES * width, [0.0; LANES]);
        for position in 0..whole {
            let first = position / LANES * width;
            let prepared = &mut scratch.lanes[first..first + width];
            self.layout
                .prepare(row(position), prepared, position % LANES);
        }
        let (together, alone) = answers.split_at_mut(whole * self.classes);
        for sums in together.chunks_exact_mut(self.classes) {
            self.sums.start(sums);
        }
        for (tree, root) in self.layout.roots.iter().enumerate() {
            let class = tree % self.classes;
            let prepared = scratch.lanes.chunks_exact(width);
            for (prepared, sums) in prepared.zip(together.chunks_exact_mut(LANES * self.classes)) {
                let leaves = self.leaves_of(root.node, root.depth, prepared);
                for (leaf, sums) in leaves.iter().zip(sums.chunks_exact_mut(self.classes)) {
                    self.sums.add(&mut sums[class], *leaf);
                }
            }
        }
        for sums in together.chunks_exact_mut(self.classes) {
            self.link.apply(sums);
        }
        for (position, answer) in alone.chunks_exact_mut(self.classes).enumerate() {
            self.predict_row(row(whole + position), scratch, answer);
        }
    }

    /// The leaves that eight prepared rows reach in one tree.
    #[inline]
    fn leaves_of(&self, root: u32, depth: u32, prepared: &[[f32; LANES]]) -> [f64; LANES] {
        let Layout { nodes, leaves, .. } = &self.layout;
        let mut at = [root; LANES];
        for _ in 0..depth {
            for (lane, at) in at.iter_mut().enumerate() {
                let node = nodes[*at as usize];
                *at = next(*at, node, prepared[usize::from(node.source)][lane]);
            }
        }
        at.map(|at| leaves[nodes[at as usize].leaf()])
    }
}

impl Sums {
    fn start(&self, sums: &mut [f64]) {
        match self {
            Self::Double => sums.fill(0.0),
            Self::Single(base) => {
                for (sum, base) in sums.iter_mut().zip(base) {
                    *sum = f64::from(*base);
                }
            }
        }
    }

    #[inline]
    fn add(&self, sum: &mut f64, leaf: f64) {
        match self {
            Self::Double => *sum += leaf,
            // Both are f32 already, so that only the sum is rounded.
            Self::Single(_) => *sum = f64::from(*sum as f32 + leaf as f32),
        }
    }
}

/// The node after `node`, which lies at `at`. Not at most is not the same as greater: NaN is
/// neither, and goes right.
#[inline(always)]
#[expect(
    clippy::neg_cmp_op_on_partial_ord,
    reason = "what is not comparable goes right, by design"
)]
fn next(at: u32, node: Node, value: f32) -> u32 {
    at + u32::from(node.step) + u32::from(!(value <= node.threshold))
}
