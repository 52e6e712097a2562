//! Which code the eval loop is, of versions that leave no mark of it on the C stack (up to 3.9). Compilers that know which
//! paths are rare put those elsewhere: Debian's 3.9 has a fifth of the loop 900 KB before the rest, without a symbol.

use std::ops::Range;

use profile::address::RemoteAddr;

use crate::Memory;

/// More code is not looked at; a debug build's loop has 120 KB.
const CODE_MAX: u64 = 1 << 20;
/// More jumps are not looked at; Debian's 3.9 has 259.
const JUMPS_MAX: usize = 4096;
/// So many jumps make code a piece of the loop. What looks like a jump may be a part of another instruction, but in 35 KB
/// not twice one to the same function.
const JUMPS_MIN: usize = 2;
/// `jcc rel32`: `0f 8x`, and four bytes of distance from its end.
const JUMP_BYTES: usize = 6;

/// The loop in the target.
#[derive(Clone, Default, Debug)]
pub(super) struct EvalLoop {
    symbol: Range<u64>,
    /// Where its conditional jumps lead out of it.
    jumps: Vec<u64>,
}

impl EvalLoop {
    /// What its symbol covers, and no more.
    pub(super) fn of_symbol(start: RemoteAddr, len: u64) -> Self {
        Self { symbol: start.0..start.0.saturating_add(len), jumps: Vec::new() }
    }

    /// The loop as its symbol has it: where, and how long; with the pieces of it that are elsewhere.
    pub(super) fn new(start: RemoteAddr, len: u64, memory: &mut impl Memory) -> Self {
        let mut code = vec![0; usize::try_from(len.min(CODE_MAX)).unwrap_or(0)];
        let jumps = if memory.read(start, &mut code) { jumps_out(&code, start.0) } else { Vec::new() };
        Self { jumps, ..Self::of_symbol(start, len) }
    }

    /// The ranges of its code. `function_at` gives the range that the unwind information describes as one function. A
    /// function is entered at its start: what is jumped into elsewhere is a piece of the one that jumps.
    pub(super) fn pieces(
        &self,
        function_at: impl Fn(RemoteAddr) -> Option<Range<RemoteAddr>>,
    ) -> Vec<Range<RemoteAddr>> {
        let mut pieces = vec![RemoteAddr(self.symbol.start)..RemoteAddr(self.symbol.end)];
        let mut jumps = self.jumps.as_slice();
        while let [first, ..] = jumps {
            let at = RemoteAddr(*first);
            let function = function_at(at).filter(|function| function.contains(&at)).unwrap_or(at..at);
            let inside = jumps.iter().take_while(|target| **target < function.end.0.max(first.saturating_add(1)));
            let count = inside.clone().count();
            if count >= JUMPS_MIN && inside.clone().any(|target| *target != function.start.0) {
                pieces.push(function);
            }
            jumps = jumps.get(count..).unwrap_or_default();
        }
        pieces
    }
}

/// The targets outside of the code, sorted. Not told from what only looks like a jump.
fn jumps_out(code: &[u8], at: u64) -> Vec<u64> {
    let own = at..at.saturating_add(code.len() as u64);
    let jumps = code.windows(JUMP_BYTES).zip(own.clone()).filter_map(|(bytes, from)| {
        let &[0x0f, 0x80..=0x8f, a, b, c, d] = bytes else { return None };
        let distance = i32::from_le_bytes([a, b, c, d]);
        from.checked_add(JUMP_BYTES as u64)?.checked_add_signed(distance.into())
    });
    let mut targets: Vec<u64> = jumps.filter(|target| !own.contains(target)).take(JUMPS_MAX).collect();
    targets.sort_unstable();
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that jumps are found at both ends of the code and backwards, and that those inside are none.
    #[test]
    fn jumps() {
        // je +0x100; jne to itself; js -0x20
        let code = [0x0f, 0x84, 0, 1, 0, 0, 0x0f, 0x85, 0xfa, 0xff, 0xff, 0xff, 0x0f, 0x88, 0xe0, 0xff, 0xff, 0xff];
        assert_eq!(jumps_out(&code, 0x1000), [0x1000 + 18 - 0x20, 0x1106]);
        assert_eq!(jumps_out(&code[..17], 0x1000), [0x1106]);
    }

    /// Check what is a piece: jumped into twice, not only at its start.
    #[test]
    fn pieces() {
        let all =
            EvalLoop { symbol: 0x1000..0x2000, jumps: vec![0x100, 0x100, 0x300, 0x380, 0x500, 0x700, 0x700, 0x900] };
        let hundreds =
            |at: RemoteAddr| (at.0 != 0x900).then(|| RemoteAddr(at.0 & !0xff)..RemoteAddr((at.0 | 0xff) + 1));
        let range = |start, end| RemoteAddr(start)..RemoteAddr(end);
        assert_eq!(all.pieces(hundreds), [range(0x1000, 0x2000), range(0x300, 0x400)]);
        let forged = |_| Some(range(0, 0));
        assert_eq!(all.pieces(forged), [range(0x1000, 0x2000)]);
    }
}
