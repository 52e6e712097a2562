//! Which connections are waiting for a client, and since when: the one that has waited for longest makes room for a new one
//! when there are too many. So slow clients cost each other their connections, and nobody else.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    since: BTreeMap<u64, Arc<Notify>>,
}

/// One connection. It waits from its start on.
#[derive(Clone, Debug)]
pub(crate) struct Connection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: Arc<Connections>,
    ticket: Mutex<u64>,
    close: Arc<Notify>,
}

impl Connections {
    /// A new one.
    pub(crate) fn open(self: &Arc<Self>) -> Connection {
        let close = Arc::new(Notify::new());
        let ticket = self.wait(&close);
        Connection(Arc::new(Inner { all: Arc::clone(self), ticket: Mutex::new(ticket), close }))
    }

    /// Closes the one that has waited for longest; `false` if none waits.
    pub(crate) fn close_oldest(&self) -> bool {
        let oldest = self.lock().since.pop_first();
        oldest.is_some_and(|(_, close)| {
            close.notify_one();
            true
        })
    }

    fn wait(&self, close: &Arc<Notify>) -> u64 {
        let mut waiting = self.lock();
        let ticket = waiting.next;
        waiting.next += 1;
        waiting.since.insert(ticket, Arc::clone(close));
        ticket
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// It has a request that is complete: it is not closed for others.
    pub(crate) fn work(&self) {
        self.0.leave();
    }

    /// It waits for its client (again): its next request, or the rest of a body.
    pub(crate) fn wait(&self) {
        self.0.leave();
        let mut ticket = self.0.ticket.lock().unwrap_or_else(PoisonError::into_inner);
        *ticket = self.0.all.wait(&self.0.close);
    }

    /// Returns when it has to make room.
    pub(crate) async fn must_close(&self) {
        self.0.close.notified().await;
    }
}

impl Inner {
    fn leave(&self) {
        let ticket = *self.ticket.lock().unwrap_or_else(PoisonError::into_inner);
        self.all.lock().since.remove(&ticket);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check who has to go: the one that waits for longest, never one that works.
    #[test]
    fn oldest_first() {
        let all = Arc::new(Connections::default());
        let [first, second, third] = [all.open(), all.open(), all.open()];
        first.work();
        third.work();
        third.wait();
        let asked = |connection: &Connection| {
            let close = Arc::clone(&connection.0.close);
            let ready = futures_util::FutureExt::now_or_never(async move { close.notified().await });
            ready.is_some()
        };
        assert!(all.close_oldest());
        assert_eq!((asked(&first), asked(&second), asked(&third)), (false, true, false));
        drop(third);
        assert!(!all.close_oldest(), "the first works, the second goes, the third is gone");
    }
}
