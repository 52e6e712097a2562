//! What the sampler writes to: hands its outputs over, and decides when a chunk that is due is closed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, mpsc::Sender},
};

use profile::{
    board::{Board, WindowKind},
    feed::Event,
};
use sampler::{Output, Sink, TargetId};
use uuid::Uuid;

use super::{Message, progress::Shared};

/// Called on the sampler's side, so that what it decides stands between the right two outputs.
pub(super) struct ToPipeline {
    messages: Sender<Message>,
    shared: Arc<Shared>,
    /// Targets whose chunk was closed, but whose stacks are still to be forgotten: before the next sample, that is.
    closed: HashSet<TargetId>,
    /// By whose board which run goes on: the stacks of one are not those of the next.
    runs: HashMap<TargetId, Option<(Uuid, WindowKind)>>,
}

impl ToPipeline {
    pub(super) fn new(messages: Sender<Message>, shared: Arc<Shared>) -> Self {
        Self { messages, shared, closed: HashSet::new(), runs: HashMap::new() }
    }

    fn is_due(&self, target: TargetId) -> bool {
        self.shared.due.get().remove(&target)
    }

    /// A board may end a run and begin another: its stacks are to be defined anew, so that its journal can be read alone.
    fn board(&mut self, target: TargetId, board: &Board) {
        let run = board.leading().map(|window| (window.id, window.kind));
        if self.runs.insert(target, run) != Some(run) {
            self.closed.insert(target);
        }
    }

    fn close(&self, target: TargetId) {
        drop(self.messages.send(Message::Close(target)));
    }
}

impl Sink for ToPipeline {
    /// Of a process in which nobody runs come ticks and, once a second, what they cost, but no samples for which stacks
    /// would be forgotten. Its chunk closes there.
    fn output(&mut self, target: TargetId, output: Output) {
        let is_rest = matches!(output, Output::Event(Event::Cost { .. }));
        match &output {
            Output::Board { board, .. } => self.board(target, board),
            Output::Gone { .. } => drop(self.runs.remove(&target)),
            _ => {}
        }
        drop(self.messages.send(Message::Output(target, output)));
        if is_rest && self.is_due(target) {
            self.close(target);
            self.closed.insert(target);
        }
    }

    fn forgets_stacks(&mut self, target: TargetId) -> bool {
        let is_due = self.is_due(target);
        if is_due {
            self.close(target);
        }
        self.closed.remove(&target) || is_due
    }
}
