//! Profiles of transactions, until the process that they are of fetches them. Builds none.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use profile::id::Pid;
use serde_json::Value;
use tokio::sync::Notify;
use uuid::Uuid;

/// As long a profile waits to be fetched: its process waits for it for two seconds.
const WAITS: Duration = Duration::from_mins(1);
/// So many of one process wait at most; the oldest goes first.
const OF_PROCESS_MAX: usize = 256;
/// And so many of all.
const ALL_MAX: usize = 4096;

/// Since when each waits; without a profile: too little was seen for one.
type Waiting = HashMap<(Pid, Uuid), (Instant, Option<Value>)>;

/// Where they wait.
#[derive(Debug, Default)]
pub struct Shelf {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

/// What is known of a profile.
#[derive(Debug, PartialEq)]
pub enum Fetched {
    /// It is this one.
    Profile(Value),
    /// Too little was seen for one.
    TooLittle,
    /// It did not come.
    Unknown,
}

impl Shelf {
    /// A profile is done; `None`: too little was seen for one.
    pub fn put(&self, of: Pid, id: Uuid, profile: Option<Value>) {
        let mut waiting = self.lock();
        waiting.retain(|_, (since, _)| since.elapsed() < WAITS);
        let is_full =
            waiting.len() >= ALL_MAX || waiting.keys().filter(|(pid, _)| *pid == of).count() >= OF_PROCESS_MAX;
        if is_full {
            let mine = waiting.iter().filter(|((pid, _), _)| *pid == of).min_by_key(|(_, (since, _))| *since);
            let Some(oldest) = mine.map(|(key, _)| *key) else { return };
            waiting.remove(&oldest);
        }
        waiting.insert((of, id), (Instant::now(), profile));
        drop(waiting);
        self.arrived.notify_waiters();
    }

    /// Takes a profile, once; waits for it so long.
    pub async fn fetch(&self, of: Pid, id: Uuid, wait: Duration) -> Fetched {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            // From here on it is told, also of what arrives before it is waited for.
            arrived.as_mut().enable();
            if let Some((_, profile)) = self.lock().remove(&(of, id)) {
                return profile.map_or(Fetched::TooLittle, Fetched::Profile);
            }
            if tokio::time::timeout_at(deadline, arrived).await.is_err() {
                return Fetched::Unknown;
            }
        }
    }

    /// A process has ended.
    pub fn forget(&self, of: Pid) {
        self.lock().retain(|(pid, _), _| *pid != of);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Check that a profile is given once, to its own process alone, also to one that waited before it was there.
    #[test]
    fn fetching() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (shelf, id) = (Arc::new(Shelf::default()), Uuid::from_u128(7));
        let fetch = |of, wait| runtime.block_on(shelf.fetch(Pid(of), id, Duration::from_millis(wait)));
        assert_eq!(fetch(1, 1), Fetched::Unknown);
        let putting = Arc::clone(&shelf);
        let puts = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            putting.put(Pid(1), id, Some(Value::Bool(true)));
        });
        assert_eq!(fetch(1, 30_000), Fetched::Profile(Value::Bool(true)));
        puts.join().unwrap();
        shelf.put(Pid(1), id, None);
        assert_eq!(fetch(2, 1), Fetched::Unknown);
        assert_eq!([fetch(1, 1), fetch(1, 1)], [Fetched::TooLittle, Fetched::Unknown]);
    }

    /// Check that one process cannot keep another's from the shelf, and that the oldest of its own goes first.
    #[test]
    fn bounded() {
        let shelf = Shelf::default();
        shelf.put(Pid(2), Uuid::from_u128(1), None);
        for id in 0..300 {
            shelf.put(Pid(1), Uuid::from_u128(id), None);
        }
        let has = |pid, id| shelf.lock().contains_key(&(Pid(pid), Uuid::from_u128(id)));
        assert!(has(2, 1) && has(1, 299) && !has(1, 43) && has(1, 44));
    }
}
