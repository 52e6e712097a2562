//! The receiver of this program, over a store in memory that shows what came.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use server::{Project, Server, Settings, Trigger, projects, shutdown, testing::MemoryStore};
use store::ChunkStore;

/// A server with an empty store, until it is dropped.
pub(crate) struct Receiver {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) dsn: String,
    end: Option<(Trigger, JoinHandle<()>)>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let key = "0123456789abcdef0123456789abcdef".to_owned();
        let project = Project { id: 42, key, name: "shop".to_owned(), items_per_minute: None };
        let store = Arc::new(MemoryStore::slow(Duration::from_millis(5)));
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let dsn = projects::dsn(&project, listener.local_addr().unwrap());
        let server = Server::new(Settings::new(vec![project]), Arc::clone(&store) as Arc<dyn ChunkStore>);
        let (trigger, shutdown) = shutdown::pair();
        let running = std::thread::spawn(move || server.run(listener, shutdown).unwrap());
        Self { store, dsn, end: Some((trigger, running)) }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let (trigger, running) = self.end.take().unwrap();
        trigger.shut_down();
        running.join().unwrap();
    }
}
