//! Looks at the board of a target ([`profile::board`]): has it changed, is a window open. Reads memory; what the windows
//! mean is for others.

use profile::{
    address::RemoteAddr,
    board::{BOARD_BYTES, HEADER_BYTES, Header},
    id::{Pid, Tid},
};

use crate::memory;

/// A copy that its process changed meanwhile is made anew, so often.
const TRIES: u32 = 4;

/// The board of a target, as it was seen last.
#[derive(Debug)]
pub(crate) struct Watched {
    at: RemoteAddr,
    seen: Option<Header>,
    /// Its open windows are not worth a sample any more; until it changes.
    rests: bool,
}

impl Watched {
    /// A board that was not looked at yet.
    pub(crate) fn new(at: RemoteAddr) -> Self {
        Self { at, seen: None, rests: false }
    }

    /// Whether a window is open for which samples are to be taken.
    pub(crate) fn is_open(&self) -> bool {
        !self.rests && self.seen.is_some_and(|header| header.open > 0)
    }

    /// No samples are needed until it changes.
    pub(crate) fn rest(&mut self) {
        self.rests = true;
    }

    /// The whole board if it changed since the last look; empty where there is none any more.
    pub(crate) fn look(&mut self, pid: Pid) -> Option<Box<[u8]>> {
        let header = self.header(pid);
        if header == self.seen {
            return None;
        }
        self.rests = false;
        if header.is_none() {
            self.seen = None;
            return Some(Box::default());
        }
        for _ in 0..TRIES {
            let Some(bytes) = self.whole(pid) else { break };
            let after = self.header(pid);
            if Header::read(&bytes) == after {
                self.seen = after;
                return Some(bytes);
            }
        }
        // It changes too fast, or has just gone: the next look tells.
        None
    }

    fn header(&self, pid: Pid) -> Option<Header> {
        let mut bytes = [0; HEADER_BYTES];
        let read = memory::read(Tid(pid.0), self.at, &mut bytes).ok()?;
        Header::read(bytes.get(..read)?)
    }

    fn whole(&self, pid: Pid) -> Option<Box<[u8]>> {
        let mut bytes = vec![0; BOARD_BYTES].into_boxed_slice();
        let read = memory::read(Tid(pid.0), self.at, &mut bytes).ok()?;
        (read == BOARD_BYTES).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check on a board of our own: a change is seen once, an open window until it is let rest, and a board that is no more, once.
    #[test]
    fn looking() {
        let mut board = vec![0_u64; BOARD_BYTES / 8];
        board[0] = u64::from_ne_bytes(*b"SSPFBRD1");
        let own = Pid(i32::try_from(std::process::id()).unwrap());
        let mut watched = Watched::new(RemoteAddr(board.as_ptr() as u64));
        let mut look = |board: &mut [u64], words: [u64; 3], rest: bool| {
            board[..3].copy_from_slice(&words);
            std::hint::black_box(&board);
            if rest {
                watched.rest();
            }
            let bytes = watched.look(own).map(|bytes| bytes.len());
            (bytes, watched.is_open())
        };
        let magic = board[0];
        assert_eq!(look(&mut board, [magic, 0, 0], false), (Some(BOARD_BYTES), false));
        assert_eq!(look(&mut board, [magic, 0, 0], false), (None, false));
        assert_eq!(look(&mut board, [magic, 1, 1], false), (Some(BOARD_BYTES), true));
        assert_eq!(look(&mut board, [magic, 1, 1], true), (None, false));
        assert_eq!(look(&mut board, [magic, 2, 1], false), (Some(BOARD_BYTES), true));
        assert_eq!(look(&mut board, [0, 2, 1], false), (Some(0), false));
        assert_eq!(look(&mut board, [0, 2, 1], false), (None, false));
    }
}
