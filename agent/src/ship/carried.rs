//! What a new journal file must repeat from the one before it, so that it can be read alone: modules, code objects, and the live threads
//! with their idents and the stacks on which they stand. Holds no stacks: they are read back from the old file. Does no I/O.

use std::collections::{BTreeMap, HashMap};

use profile::{
    code::{Code, CodeIndex},
    feed::{Event, Mark, StackId},
    id::Tid,
    module::{Module, ModuleIndex},
    stack::RawStack,
    thread::State,
};

/// The state of a session, as far as later events refer to it, and where the current file has it.
#[derive(Debug, Default)]
pub(super) struct Carried {
    modules: BTreeMap<ModuleIndex, Module>,
    codes: BTreeMap<CodeIndex, Code>,
    threads: BTreeMap<Tid, Thread>,
    /// Those that go on.
    marks: BTreeMap<u64, Mark>,
    /// What an id means now. A feed may define it anew while threads still stand on what it meant before.
    places: HashMap<StackId, Place>,
}

/// Where the current file defines a stack. The stacks themselves would be megabytes in memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place(pub(super) u64);

#[derive(Debug, Default)]
struct Thread {
    name: Option<String>,
    ident: Option<u64>,
    standing: Option<(Place, State)>,
}

impl Carried {
    /// Takes in an event that happened, and where the file has it; `None` if that failed.
    pub(super) fn note(&mut self, event: &Event, place: Option<Place>) {
        match event {
            Event::Module(index, module) => {
                self.modules.insert(*index, module.clone());
            }
            Event::Code(index, code) => drop(self.codes.insert(*index, code.clone())),
            Event::Stack(id, _) => match place {
                Some(place) => drop(self.places.insert(*id, place)),
                None => drop(self.places.remove(id)),
            },
            Event::Thread { tid, name } => self.threads.entry(*tid).or_default().name = Some(name.clone()),
            Event::Ident { tid, ident } => self.threads.entry(*tid).or_default().ident = Some(*ident),
            Event::Sample { tid, stack, state } => {
                let place = self.places.get(stack);
                self.threads.entry(*tid).or_default().standing = place.map(|place| (*place, *state));
            }
            Event::Ended { tid } => {
                self.threads.remove(tid);
            }
            Event::Tick { .. }
            | Event::Unread { .. }
            | Event::Usage { .. }
            | Event::Counters(_)
            | Event::Cost { .. }
            | Event::Begun => {}
            Event::Mark(mark) if mark.end_ns.is_some() => drop(self.marks.remove(&mark.sequence)),
            Event::Mark(mark) => drop(self.marks.insert(mark.sequence, mark.clone())),
        }
    }

    /// The events with which a new file begins: at `at_ns`, where the one before ended; or, `None`, after a while in which
    /// nothing was seen. `read` reads a definition back from the current file; a thread whose stack can't be read has none
    /// until it is sampled again.
    pub(super) fn opening(
        &self,
        at_ns: Option<u64>,
        read: impl Fn(Place) -> Option<(StackId, RawStack)>,
    ) -> Vec<Event> {
        let mut standing: BTreeMap<Place, Vec<(Tid, State)>> = BTreeMap::new();
        for (tid, thread) in &self.threads {
            let Some((place, state)) = thread.standing else { continue };
            standing.entry(place).or_default().push((*tid, state));
        }
        let name = |(tid, thread): (&Tid, &Thread)| Some(Event::Thread { tid: *tid, name: thread.name.clone()? });
        let ident = |(tid, thread): (&Tid, &Thread)| Some(Event::Ident { tid: *tid, ident: thread.ident? });
        let modules = self.modules.iter().map(|(index, module)| Event::Module(*index, module.clone()));
        let codes = self.codes.iter().map(|(index, code)| Event::Code(*index, code.clone()));
        let threads = self.threads.iter().filter_map(name).chain(self.threads.iter().filter_map(ident));
        let marks = self.marks.values().cloned().map(Event::Mark);
        let mut events: Vec<Event> = modules.chain(codes).chain(threads).chain(marks).collect();
        events.extend(at_ns.map(|at_ns| Event::Tick { at_ns }));
        // In the order in which they were defined, each followed by those who stand on it: so an id may come twice.
        for (place, threads) in standing {
            let Some((stack, raw)) = read(place) else { continue };
            events.push(Event::Stack(stack, raw));
            events.extend(threads.into_iter().map(|(tid, state)| Event::Sample { tid, stack, state }));
        }
        events.extend(at_ns.is_none().then_some(Event::Begun));
        events
    }
}
