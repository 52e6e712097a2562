//! The truth about a stack, found without any unwind information: a program is run one instruction at a time, and every
//! call and return is noted. A shadow stack; nothing of the unwinder is in it.

use profile::stack::NativeStack;

use crate::traced::Traced;

/// The return addresses that a running thread has on its stack.
pub(crate) struct Shadow {
    /// Where each lies, and what it is; the root first.
    calls: Vec<(u64, u64)>,
    pc: u64,
    sp: u64,
}

/// A call is at most this long (Intel SDM 2, 2.3.11: an instruction is).
const INSTRUCTION_MAX: u64 = 15;

impl Shadow {
    /// From a stop at which `stack`, leaf first, is known to be true.
    pub(crate) fn new(traced: &Traced, stack: &NativeStack) -> Self {
        let registers = traced.registers();
        let sp = registers.sp().0;
        // Where they lie need not be known: they stay.
        let calls = stack.frames.iter().skip(1).rev().map(|frame| (u64::MAX, frame.pc.0)).collect();
        Self { calls, pc: registers.pc().0, sp }
    }

    /// After one instruction.
    pub(crate) fn step(&mut self, traced: &Traced) {
        let registers = traced.registers();
        let (pc, sp) = (registers.pc().0, registers.sp().0);
        if self.sp.checked_sub(8) == Some(sp) {
            let pushed = traced.word(sp);
            let called = (self.pc + 1..=self.pc + INSTRUCTION_MAX).contains(&pushed);
            if called && pc != pushed {
                self.calls.push((sp, pushed));
            }
        }
        // What lies below the stack pointer is gone: returned from, or jumped over.
        while self.calls.last().is_some_and(|(at, _)| *at < sp) {
            self.calls.pop();
        }
        (self.pc, self.sp) = (pc, sp);
    }

    /// Addresses, leaf first: where it is, then where it will return to.
    pub(crate) fn addresses(&self) -> Vec<u64> {
        std::iter::once(self.pc).chain(self.calls.iter().rev().map(|(_, to)| *to)).collect()
    }
}
