//! The thread that writes: takes what is waiting as one group, so that many who append share one wait for the disk.
//!
//! There is no delay to make groups larger: while one is made durable, the next gathers.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use tracing::error;

use super::{Clock, commit::Committer, merged::NewBlock, prepared::Prepared, retain};
use crate::{
    chunk_store::StoreError,
    item::{Appended, Retention},
};

/// Batches of one group. More would make the first ones wait, and the disk is busy enough with these.
const GROUP_MAX: usize = 64;

/// What the thread is asked to do.
pub(super) enum Command {
    /// To keep a batch.
    Append(Prepared, SyncSender<Result<Appended, StoreError>>),
    /// To keep a block.
    Block(Box<NewBlock>, SyncSender<Result<(), StoreError>>),
    /// To remove what is too old.
    Retain(Retention, u64, SyncSender<Result<(), StoreError>>),
}

/// Starts the thread; it ends when nobody can ask it any more.
pub(super) fn start(mut committer: Committer, clock: Clock) -> std::io::Result<(SyncSender<Command>, JoinHandle<()>)> {
    let (sender, receiver) = sync_channel(GROUP_MAX);
    let thread = std::thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(move || run(&mut committer, &receiver, &clock))?;
    Ok((sender, thread))
}

/// Asks and waits for the answer.
pub(super) fn ask<T>(
    sender: &SyncSender<Command>,
    command: impl FnOnce(SyncSender<Result<T, StoreError>>) -> Command,
) -> Result<T, StoreError> {
    let (reply, answer) = sync_channel(1);
    sender.send(command(reply)).map_err(|_| StoreError::Closed)?;
    answer.recv().map_err(|_| StoreError::Closed)?
}

fn run(committer: &mut Committer, receiver: &Receiver<Command>, clock: &Clock) {
    let mut left_over = None;
    while let Some(command) = left_over.take().or_else(|| receiver.recv().ok()) {
        match command {
            Command::Append(batch, reply) => left_over = group(committer, receiver, clock, (batch, reply)),
            Command::Block(block, reply) => {
                let _ = reply.send(committer.append_block(&block));
            }
            Command::Retain(retention, now_us, reply) => {
                let _ = reply.send(retain::retain(committer, retention, now_us));
            }
        }
    }
}

/// Keeps what is waiting; gives back the command that ended the group.
fn group(
    committer: &mut Committer,
    receiver: &Receiver<Command>,
    clock: &Clock,
    first: (Prepared, SyncSender<Result<Appended, StoreError>>),
) -> Option<Command> {
    let (mut batches, mut replies) = (vec![first.0], vec![first.1]);
    let mut left_over = None;
    while batches.len() < GROUP_MAX {
        match receiver.try_recv() {
            Ok(Command::Append(batch, reply)) => {
                batches.push(batch);
                replies.push(reply);
            }
            Ok(other) => {
                left_over = Some(other);
                break;
            }
            Err(_) => break,
        }
    }
    keep(committer, &batches, &replies, clock());
    left_over
}

/// A group fails as a whole; then each batch is tried alone, so that one that cannot be kept does no harm to others.
fn keep(
    committer: &mut Committer,
    batches: &[Prepared],
    replies: &[SyncSender<Result<Appended, StoreError>>],
    now_us: u64,
) {
    match committer.append(batches, now_us) {
        Ok(appended) => {
            for (reply, appended) in replies.iter().zip(appended) {
                let _ = reply.send(Ok(appended));
            }
        }
        Err(error) if batches.len() == 1 => {
            error!(%error, "A batch could not be kept; who sent it is told.");
            if let Some(reply) = replies.first() {
                let _ = reply.send(Err(error));
            }
        }
        Err(_) => {
            for (batch, reply) in batches.iter().zip(replies) {
                keep(committer, std::slice::from_ref(batch), std::slice::from_ref(reply), now_us);
            }
        }
    }
}

/// Microseconds since 1970, by the machine's clock.
pub(super) fn system_clock() -> Clock {
    Arc::new(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}
