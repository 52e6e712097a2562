//! What a new journal file must repeat from the ones before it, so that it can be read alone: modules, live threads with
//! the stacks on which they stand, and, when they are used again, the other stacks. Does no I/O.

use std::collections::{BTreeMap, HashMap};

use profile::{
    feed::{Event, StackId},
    id::Tid,
    module::{Module, ModuleIndex},
    stack::RawStack,
    thread::ThreadState,
};

/// The state of a session, as far as later events refer to it. Grows with the ids that the feed has in use: a feed
/// that reuses the ids of stacks bounds it, at some 10 bytes a frame.
#[derive(Debug, Default)]
pub(super) struct Carried {
    modules: BTreeMap<ModuleIndex, Module>,
    threads: BTreeMap<Tid, Thread>,
    stacks: HashMap<StackId, Stack>,
}

#[derive(Debug, Default)]
struct Thread {
    name: Option<String>,
    standing: Option<(StackId, ThreadState)>,
}

#[derive(Debug)]
struct Stack {
    /// Postcard: a third of the memory of a [`RawStack`].
    encoded: Box<[u8]>,
    /// Whether the current file defines it.
    defined: bool,
}

impl Carried {
    /// Takes in an event that goes into the current file. Gives the definition that has to come first, if the event
    /// names a stack that only an earlier file has defined.
    pub(super) fn note(&mut self, event: &Event) -> Option<Event> {
        match event {
            Event::Module(index, module) => {
                self.modules.insert(*index, module.clone());
            }
            Event::Stack(id, stack) => {
                let encoded = postcard::to_stdvec(stack).unwrap_or_default().into();
                self.stacks.insert(*id, Stack { encoded, defined: true });
            }
            Event::Thread { tid, name } => self.threads.entry(*tid).or_default().name = Some(name.clone()),
            Event::Sample { tid, stack, state } => {
                self.threads.entry(*tid).or_default().standing = Some((*stack, *state));
                return self.define(*stack);
            }
            Event::Ended { tid } => {
                self.threads.remove(tid);
            }
            Event::Tick { .. }
            | Event::Unread { .. }
            | Event::Usage { .. }
            | Event::Counters(_)
            | Event::Cost { .. } => {}
        }
        None
    }

    /// The events with which a new file begins at `at_ns`. From here on, what they don't define counts as undefined.
    pub(super) fn opening(&mut self, at_ns: u64) -> Vec<Event> {
        self.stacks.values_mut().for_each(|stack| stack.defined = false);
        let standing: Vec<_> = self.threads.values().filter_map(|thread| thread.standing).collect();
        let mut events: Vec<Event> =
            self.modules.iter().map(|(index, module)| Event::Module(*index, module.clone())).collect();
        events.extend(standing.into_iter().filter_map(|(stack, _)| self.define(stack)));
        let names = self.threads.iter().filter_map(|(tid, thread)| Some((*tid, thread.name.clone()?)));
        events.extend(names.map(|(tid, name)| Event::Thread { tid, name }));
        events.push(Event::Tick { at_ns });
        let samples = self.threads.iter().filter_map(|(tid, thread)| Some((*tid, thread.standing?)));
        events.extend(samples.map(|(tid, (stack, state))| Event::Sample { tid, stack, state }));
        events
    }

    fn define(&mut self, id: StackId) -> Option<Event> {
        let stack = self.stacks.get_mut(&id).filter(|stack| !stack.defined)?;
        stack.defined = true;
        let raw: RawStack = postcard::from_bytes(&stack.encoded).ok()?;
        Some(Event::Stack(id, raw))
    }
}

#[cfg(test)]
mod tests {
    use profile::{
        address::RemoteAddr,
        stack::{PcKind, RawFrame, StackEnd},
    };

    use super::*;

    fn stack(pc: u64) -> RawStack {
        let frame = RawFrame { pc: RemoteAddr(pc), kind: PcKind::Exact, module: None };
        RawStack { frames: vec![frame], end: StackEnd::Complete }
    }

    fn sample(tid: i32, stack: u32) -> Event {
        Event::Sample { tid: Tid(tid), stack: StackId(stack), state: ThreadState::OnCpu }
    }

    /// Check that a new file repeats live threads and their stacks, and others only when they are used again, in their
    /// newest meaning.
    #[test]
    fn a_file_can_be_read_alone() {
        let mut carried = Carried::default();
        let thread = |tid, name: &str| Event::Thread { tid: Tid(tid), name: name.to_owned() };
        let before = [
            thread(1, "main"),
            thread(2, "gone"),
            Event::Stack(StackId(0), stack(10)),
            Event::Stack(StackId(1), stack(11)),
            Event::Stack(StackId(2), stack(12)),
            Event::Tick { at_ns: 5 },
            sample(1, 0),
            sample(2, 1),
            sample(3, 0),
            Event::Ended { tid: Tid(2) },
            Event::Stack(StackId(1), stack(99)),
        ];
        for event in &before {
            assert_eq!(carried.note(event), None);
        }
        let opening = carried.opening(6);
        let expected = [
            Event::Stack(StackId(0), stack(10)),
            thread(1, "main"),
            Event::Tick { at_ns: 6 },
            sample(1, 0),
            sample(3, 0),
        ];
        assert_eq!(opening, expected);
        assert_eq!(carried.note(&sample(1, 0)), None);
        assert_eq!(carried.note(&sample(1, 1)), Some(Event::Stack(StackId(1), stack(99))));
        assert_eq!(carried.note(&sample(1, 1)), None);
        assert_eq!(carried.note(&sample(1, 7)), None, "never defined: not ours to repair");
    }
}
