//! Registers of x86-64 in DWARF's numbering (System V ABI AMD64, figure 3.36), each known or not. Another machine is
//! another file of this kind.

use profile::address::RemoteAddr;

/// General registers 0-15 and the return address column.
pub(crate) const COUNT: usize = 17;
/// Frame pointer by convention.
pub(crate) const RBP: u16 = 6;
/// Stack pointer.
pub(crate) const RSP: u16 = 7;
/// Return address column; of the leaf, the program counter.
pub(crate) const RA: u16 = 16;

/// A set of registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registers {
    values: [u64; COUNT],
    known: u32,
}

impl Registers {
    /// All of them, as a stopped thread shows them: rax rdx rcx rbx rsi rdi rbp rsp r8-r15 rip.
    pub fn full(dwarf_order: [u64; COUNT]) -> Self {
        Self { values: dwarf_order, known: u32::MAX }
    }

    /// What a sleeping thread shows without being stopped.
    pub fn blocked(sp: u64, pc: u64) -> Self {
        let mut registers = Self { values: [0; COUNT], known: 0 };
        registers.set(RSP, Some(sp));
        registers.set(RA, Some(pc));
        registers
    }

    /// The same with one more that is known.
    #[must_use]
    pub fn with(mut self, number: u16, value: u64) -> Self {
        self.set(number, Some(value));
        self
    }

    /// Program counter, or return address further up.
    pub fn pc(&self) -> RemoteAddr {
        RemoteAddr(self.get(RA).unwrap_or(0))
    }

    /// Stack pointer.
    pub fn sp(&self) -> RemoteAddr {
        RemoteAddr(self.get(RSP).unwrap_or(0))
    }

    /// A register by DWARF number; `None` if it is not known.
    pub fn get(&self, number: u16) -> Option<u64> {
        let known = 1_u32.checked_shl(number.into()).is_some_and(|bit| self.known & bit != 0);
        self.values.get(usize::from(number)).copied().filter(|_| known)
    }

    pub(crate) fn set(&mut self, number: u16, value: Option<u64>) {
        let (Some(place), Some(bit)) = (self.values.get_mut(usize::from(number)), 1_u32.checked_shl(number.into()))
        else {
            return;
        };
        match value {
            Some(value) => {
                *place = value;
                self.known |= bit;
            }
            None => self.known &= !bit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a sleeper shows two registers and no others, and that odd numbers are unknown.
    #[test]
    fn blocked_knows_two() {
        let registers = Registers::blocked(8, 9);
        let known: Vec<_> = (0..40).filter_map(|number| Some((number, registers.get(number)?))).collect();
        assert_eq!(known, [(7, 8), (16, 9)]);
        assert_eq!(registers.get(u16::MAX), None);
    }
}
