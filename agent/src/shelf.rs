//! Profiles of transactions as they are answered, until the process that they are of fetches them. Builds none.
//!
//! Bounded in bytes, since one may have some megabytes: 24 threads that are awake for 30 s have 5 MB.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use profile::id::Pid;
use tokio::sync::Notify;
use uuid::Uuid;

/// As long a profile waits to be fetched.
const WAITS: Duration = Duration::from_mins(1);
/// As long a process waits for one. Who has not come by then gives room to others.
pub const CLIENT_WAITS: Duration = Duration::from_secs(2);
/// So many of one process wait at most; the oldest goes first.
const OF_PROCESS_MAX: usize = 256;
/// And so many of all.
const ALL_MAX: usize = 4096;
/// Bytes of all at most; one process has half of it.
const BYTES_MAX: u64 = 64 << 20;
/// And of `budget.memory`, at most this part.
const OF_BUDGET: u64 = 8;
/// Of what a process may have, and of all, that many-th part may be profiles of transactions that go on: nobody asks for them
/// yet, and may not for hours.
const OF_LONG: u64 = 4;

/// Why a profile is not to be had. Counted under its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Dropped {
    /// It could not be built while its process waited for it.
    Late,
    /// Its transaction went on for long after its 30 s, and others took its room.
    TooLong,
    /// More bytes than a process may have here.
    TooLarge,
    /// Nobody came for it, or a newer one took its room.
    NotFetched,
    /// The agent had more memory than `budget.memory`.
    Memory,
}

impl AsRef<str> for Dropped {
    fn as_ref(&self) -> &str {
        match self {
            Self::Late => "late",
            Self::TooLong => "too_long",
            Self::TooLarge => "too_large",
            Self::NotFetched => "not_fetched",
            Self::Memory => "memory",
        }
    }
}

/// What became of a transaction's profile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Made {
    /// It is this JSON.
    Profile(Vec<u8>),
    /// Too little was seen for one.
    TooLittle,
    /// There is none any more.
    Dropped(Dropped),
}

/// A transaction's profile.
#[derive(Debug)]
pub struct Built {
    /// What it is asked for by.
    pub id: Uuid,
    /// What became of it.
    pub made: Made,
    /// Its transaction has not ended yet.
    pub goes_on: bool,
}

/// What is known of a profile.
#[derive(Debug, PartialEq, Eq)]
pub enum Fetched {
    /// Its process is not to wait for it any longer.
    Made(Made),
    /// It did not come.
    Unknown,
}

/// What came of all profiles so far.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Built.
    pub made: u64,
    /// Never to be had, by reason.
    pub dropped: BTreeMap<Dropped, u64>,
    /// Bytes that wait.
    pub bytes: u64,
}

/// Where they wait.
#[derive(Debug)]
pub struct Shelf {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    bytes_max: u64,
}

#[derive(Debug, Default)]
struct Waiting {
    all: HashMap<(Pid, Uuid), Waits>,
    figures: Figures,
}

/// What waits, or what is known of what does not any more.
#[derive(Debug)]
struct Waits {
    made: Made,
    /// Since when it is here.
    put: Instant,
    /// Since when its process may ask for it; `None`: its transaction goes on.
    since: Option<Instant>,
}

impl Waits {
    fn bytes(&self) -> u64 {
        if let Made::Profile(bytes) = &self.made { bytes.len() as u64 } else { 0 }
    }

    fn is_profile(&self) -> bool {
        matches!(self.made, Made::Profile(_))
    }

    /// It waits to be fetched, for so long.
    fn has_waited(&self, limit: Duration) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= limit)
    }
}

impl Default for Shelf {
    fn default() -> Self {
        Self::new(u64::MAX)
    }
}

impl Shelf {
    /// Of an agent that may have so much memory.
    pub fn new(memory: u64) -> Self {
        Self { waiting: Mutex::default(), arrived: Notify::new(), bytes_max: BYTES_MAX.min(memory / OF_BUDGET) }
    }

    /// Whether another one of a process is to be built: not while half of what may wait does.
    pub fn has_room(&self, of: Pid) -> bool {
        let mut waiting = self.lock();
        let is_full = |waiting: &Waiting| {
            waiting.figures.bytes > self.bytes_max / 2 || waiting.bytes_of(of) > self.of_process() / 2
        };
        if is_full(&waiting) {
            waiting.drop_those(Dropped::NotFetched, |_, waits| waits.has_waited(CLIENT_WAITS));
        }
        !is_full(&waiting)
    }

    /// A profile is done.
    pub fn put(&self, of: Pid, built: Built) {
        let Built { id, mut made, goes_on } = built;
        let mut waiting = self.lock();
        waiting.sweep();
        waiting.make_place(of);
        if let Made::Profile(profile) = &made
            && let Err(why) = self.make_room(&mut waiting, of, profile.len() as u64, goes_on)
        {
            made = Made::Dropped(why);
        }
        let now = Instant::now();
        let waits = Waits { made, put: now, since: (!goes_on).then_some(now) };
        match &waits.made {
            Made::Profile(_) => {
                waiting.figures.made += 1;
                waiting.figures.bytes += waits.bytes();
            }
            Made::Dropped(why) => waiting.count(*why),
            Made::TooLittle => {}
        }
        // An id that is put twice is one of a client that makes them badly.
        if let Some(before) = waiting.all.insert((of, id), waits) {
            waiting.figures.bytes -= before.bytes();
        }
        drop(waiting);
        self.arrived.notify_waiters();
    }

    /// Has the oldest of a process go, or of all, for so many bytes more of one.
    fn make_room(&self, waiting: &mut Waiting, of: Pid, bytes: u64, goes_on: bool) -> Result<(), Dropped> {
        if goes_on {
            let (of_process, of_all) = (self.of_process() / OF_LONG, self.bytes_max / OF_LONG);
            if bytes > of_process {
                return Err(Dropped::TooLong);
            }
            while waiting.long_bytes(Some(of)) + bytes > of_process && waiting.drop_oldest(Some(of), true) {}
            while waiting.long_bytes(None) + bytes > of_all && waiting.drop_oldest(None, true) {}
        }
        if bytes > self.of_process() {
            return Err(Dropped::TooLarge);
        }
        while waiting.bytes_of(of) + bytes > self.of_process() && waiting.drop_oldest(Some(of), false) {}
        while waiting.figures.bytes + bytes > self.bytes_max && waiting.drop_oldest(None, false) {}
        Ok(())
    }

    /// The transaction of a profile that was put while it went on has ended: from now on it is asked for.
    pub fn ended(&self, of: Pid, id: Uuid) {
        if let Some(waits) = self.lock().all.get_mut(&(of, id)) {
            waits.since.get_or_insert_with(Instant::now);
        }
    }

    /// Takes a profile, once; waits for it so long.
    pub async fn fetch(&self, of: Pid, id: Uuid, wait: Duration) -> Fetched {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            // From here on it is told, also of what arrives before it is waited for.
            arrived.as_mut().enable();
            if let Some(made) = self.lock().take(of, id) {
                return Fetched::Made(made);
            }
            if tokio::time::timeout_at(deadline, arrived).await.is_err() {
                return Fetched::Unknown;
            }
        }
    }

    /// A process has ended.
    pub fn forget(&self, of: Pid) {
        let mut waiting = self.lock();
        waiting.drop_those(Dropped::NotFetched, |pid, _| pid == of);
        waiting.all.retain(|(pid, _), _| *pid != of);
    }

    /// Drops all profiles that wait: there is too little memory. Whether there were any.
    pub fn clear(&self) -> bool {
        let mut waiting = self.lock();
        let had = waiting.figures.bytes > 0;
        waiting.drop_those(Dropped::Memory, |_, _| true);
        had
    }

    /// Drops what nobody came for.
    pub fn sweep(&self) {
        self.lock().sweep();
    }

    /// What came of all so far.
    pub fn figures(&self) -> Figures {
        self.lock().figures.clone()
    }

    fn of_process(&self) -> u64 {
        self.bytes_max / 2
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// What was put, once. Also if its transaction has not been seen to end yet: its process knows better.
    fn take(&mut self, of: Pid, id: Uuid) -> Option<Made> {
        let waits = self.all.remove(&(of, id))?;
        self.figures.bytes -= waits.bytes();
        Some(waits.made)
    }

    /// Those that waited for too long, and what was known of such.
    fn sweep(&mut self) {
        self.drop_those(Dropped::NotFetched, |_, waits| waits.has_waited(WAITS));
        self.all.retain(|_, waits| !waits.has_waited(WAITS));
    }

    /// For one more of a process. If all places are others', it takes one of theirs.
    fn make_place(&mut self, of: Pid) {
        let of = Some(of).filter(|of| self.rows(Some(*of)).count() >= OF_PROCESS_MAX);
        if of.is_none() && self.all.len() < ALL_MAX {
            return;
        }
        let Some(oldest) = self.oldest(of, |_| true) else { return };
        self.drop_one(oldest, Dropped::NotFetched);
        self.all.remove(&oldest);
    }

    /// Drops the oldest profile, of a process or of all, so that its process is told at once; `long`: of those whose transaction
    /// goes on. Whether there was one.
    fn drop_oldest(&mut self, of: Option<Pid>, long: bool) -> bool {
        let oldest = self.oldest(of, |waits| waits.is_profile() && (!long || waits.since.is_none()));
        oldest.map(|oldest| self.drop_one(oldest, Dropped::NotFetched)).is_some()
    }

    fn oldest(&self, of: Option<Pid>, which: impl Fn(&Waits) -> bool) -> Option<(Pid, Uuid)> {
        let rows = self.rows(of).filter(|(_, waits)| which(waits));
        rows.min_by_key(|(_, waits)| waits.put).map(|(key, _)| *key)
    }

    /// Those of a process, or of all.
    fn rows(&self, of: Option<Pid>) -> impl Iterator<Item = (&(Pid, Uuid), &Waits)> {
        self.all.iter().filter(move |((pid, _), _)| of.is_none_or(|of| of == *pid))
    }

    fn drop_those(&mut self, why: Dropped, which: impl Fn(Pid, &Waits) -> bool) {
        let rows = self.all.iter().filter(|((pid, _), waits)| waits.is_profile() && which(*pid, waits));
        let keys: Vec<(Pid, Uuid)> = rows.map(|(key, _)| *key).collect();
        keys.into_iter().for_each(|key| self.drop_one(key, why));
    }

    /// One that nobody could have fetched yet is not dropped for not being fetched.
    fn drop_one(&mut self, key: (Pid, Uuid), why: Dropped) {
        let Some(waits) = self.all.get_mut(&key).filter(|waits| waits.is_profile()) else { return };
        let why = if waits.since.is_none() && why == Dropped::NotFetched { Dropped::TooLong } else { why };
        let bytes = waits.bytes();
        waits.made = Made::Dropped(why);
        self.figures.bytes -= bytes;
        self.count(why);
    }

    fn bytes_of(&self, of: Pid) -> u64 {
        self.rows(Some(of)).map(|(_, waits)| waits.bytes()).sum()
    }

    /// Of profiles whose transaction goes on, of a process or of all.
    fn long_bytes(&self, of: Option<Pid>) -> u64 {
        self.rows(of).filter(|(_, waits)| waits.since.is_none()).map(|(_, waits)| waits.bytes()).sum()
    }

    fn count(&mut self, why: Dropped) {
        *self.figures.dropped.entry(why).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const MEMORY: u64 = 512 << 20;

    fn profile(len: usize) -> Made {
        Made::Profile(vec![b'x'; len])
    }

    fn built(id: u128, made: Made) -> Built {
        Built { id: Uuid::from_u128(id), made, goes_on: false }
    }

    fn fetch(shelf: &Shelf, of: i32, id: u128, wait_ms: u64) -> Fetched {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(shelf.fetch(Pid(of), Uuid::from_u128(id), Duration::from_millis(wait_ms)))
    }

    /// Check that a profile is given once, to its own process alone, also to one that waited before it was there.
    #[test]
    fn fetching() {
        let shelf = Arc::new(Shelf::new(MEMORY));
        assert_eq!(fetch(&shelf, 1, 7, 1), Fetched::Unknown);
        let putting = Arc::clone(&shelf);
        let puts = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            putting.put(Pid(1), built(7, profile(3)));
        });
        assert_eq!(fetch(&shelf, 1, 7, 30_000), Fetched::Made(profile(3)));
        puts.join().unwrap();
        shelf.put(Pid(1), built(7, Made::TooLittle));
        assert_eq!(fetch(&shelf, 2, 7, 1), Fetched::Unknown);
        assert_eq!(fetch(&shelf, 1, 7, 1), Fetched::Made(Made::TooLittle));
        assert_eq!(fetch(&shelf, 1, 7, 1), Fetched::Unknown);
    }

    /// Check that one process cannot keep another's from the shelf, and that the oldest of its own goes first.
    #[test]
    fn bounded() {
        let shelf = Shelf::new(MEMORY);
        shelf.put(Pid(2), built(1, Made::TooLittle));
        for id in 0..300 {
            shelf.put(Pid(1), built(id, Made::TooLittle));
        }
        let has = |pid, id| shelf.lock().all.contains_key(&(Pid(pid), Uuid::from_u128(id)));
        assert!(has(2, 1) && has(1, 299) && !has(1, 43) && has(1, 44));
    }

    /// Check that a process has no more bytes than it may, and all together not either; that the oldest goes, is counted, and
    /// is known to be gone at once, not after a wait.
    #[test]
    fn bounded_in_bytes() {
        const MIB: usize = 1 << 20;
        let shelf = Shelf::new(MEMORY);
        for id in 0..40 {
            shelf.put(Pid(1), built(id, profile(MIB)));
        }
        let dropped = |shelf: &Shelf| shelf.figures().dropped.get(&Dropped::NotFetched).copied().unwrap_or_default();
        assert_eq!((shelf.figures().bytes, dropped(&shelf)), (32 << 20, 8));
        let gone = Fetched::Made(Made::Dropped(Dropped::NotFetched));
        assert_eq!(fetch(&shelf, 1, 7, 30_000), gone);
        assert_eq!(fetch(&shelf, 1, 8, 30_000), Fetched::Made(profile(MIB)));
        for pid in 2..5 {
            (0..32).for_each(|id| shelf.put(Pid(pid), built(id, profile(MIB))));
        }
        assert_eq!(shelf.figures().bytes, 64 << 20);
        shelf.put(Pid(9), built(1, profile(33 * MIB)));
        assert_eq!(fetch(&shelf, 9, 1, 0), Fetched::Made(Made::Dropped(Dropped::TooLarge)));
        assert_eq!(shelf.figures().bytes, 64 << 20, "it took nobody's room");
        (1..9).for_each(|pid| shelf.forget(Pid(pid)));
        assert_eq!((shelf.figures().bytes, shelf.lock().all.len()), (0, 0));
    }

    /// Check that no more is built for a process than half of what may wait, and for all; that what its client has given up
    /// makes room; and that a small budget makes a small shelf.
    #[test]
    fn room() {
        let shelf = Shelf::new(80 << 20);
        shelf.put(Pid(1), built(1, profile(2 << 20)));
        assert!(shelf.has_room(Pid(1)));
        shelf.put(Pid(1), built(2, profile(1 << 20)));
        assert!(!shelf.has_room(Pid(1)) && shelf.has_room(Pid(2)));
        shelf.put(Pid(2), built(1, profile(4 << 20)));
        assert!(!shelf.has_room(Pid(3)), "7 of 10 MiB wait");
        let long_ago = Instant::now().checked_sub(CLIENT_WAITS).unwrap();
        shelf.lock().all.values_mut().for_each(|waits| waits.since = Some(long_ago));
        assert!(shelf.has_room(Pid(1)) && shelf.figures().bytes == 0);
    }

    /// Check that the shelf can be emptied when memory is short, and that those who ask then are told.
    #[test]
    fn clearing() {
        let shelf = Shelf::new(MEMORY);
        assert!(!shelf.clear());
        shelf.put(Pid(1), built(1, profile(9)));
        assert!(shelf.clear() && !shelf.clear());
        assert_eq!(fetch(&shelf, 1, 1, 30_000), Fetched::Made(Made::Dropped(Dropped::Memory)));
        assert_eq!(shelf.figures().bytes, 0);
    }

    /// Check that profiles of transactions that go on have a quarter of their process's room, that the oldest goes first and is
    /// told as too long; and that they wait for as long as they go on, and for a minute after that.
    #[test]
    fn long() {
        const MIB: usize = 1 << 20;
        let shelf = Shelf::new(MEMORY);
        let long = |id: u128, made| Built { goes_on: true, ..built(id, made) };
        for id in 0..12 {
            shelf.put(Pid(1), long(id, profile(MIB)));
        }
        let dropped = |shelf: &Shelf| format!("{:?}", shelf.figures().dropped);
        assert_eq!((shelf.figures().bytes, dropped(&shelf)), (8 << 20, "{TooLong: 4}".to_owned()));
        assert_eq!(fetch(&shelf, 1, 3, 30_000), Fetched::Made(Made::Dropped(Dropped::TooLong)));
        shelf.put(Pid(1), long(20, profile(9 * MIB)));
        assert_eq!(fetch(&shelf, 1, 20, 30_000), Fetched::Made(Made::Dropped(Dropped::TooLong)));
        let long_ago = Instant::now().checked_sub(WAITS).unwrap();
        shelf.lock().all.values_mut().for_each(|waits| waits.put = long_ago);
        shelf.sweep();
        assert_eq!(shelf.figures().bytes, 8 << 20, "they go on");
        shelf.ended(Pid(1), Uuid::from_u128(4));
        shelf.ended(Pid(1), Uuid::from_u128(5));
        assert_eq!(fetch(&shelf, 1, 4, 30_000), Fetched::Made(profile(MIB)));
        shelf.lock().all.get_mut(&(Pid(1), Uuid::from_u128(5))).unwrap().since = Some(long_ago);
        shelf.sweep();
        assert_eq!(dropped(&shelf), "{TooLong: 5, NotFetched: 1}");
        shelf.forget(Pid(1));
        assert_eq!((shelf.figures().bytes, shelf.lock().all.len()), (0, 0));
    }
}
