//! Where rbp is when it is not known: a sleeping thread shows its stack pointer, not its frame pointer, and the function
//! says by its own code how far one is above the other. Decodes code; reads none itself.
//!
//! A function that keeps a frame pointer sets it once (`push rbp; mov rbp, rsp`), then lowers rsp by pushes and one
//! subtraction, and from there on every call is made at that depth, but for arguments pushed right before it. So a sweep
//! from the function's start to the call gives the depth. Functions in which rsp moves by an amount that the code does
//! not state (alloca, realignment) are refused.

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, OpAccess, OpKind, Register,
};

/// Longer functions are not decoded: a sweep of 64 KiB takes a millisecond.
pub(crate) const CODE_MAX: u64 = 64 * 1024;

/// How far rbp is above rsp when the function whose `code` begins at `start` is at `pc`, the return address of a call
/// that it has made. `None`: the function keeps no frame pointer there, or moves rsp by what its code does not state.
pub(crate) fn rbp_above_rsp(code: &[u8], start: u64, pc: u64) -> Option<u64> {
    let mut factory = InstructionInfoFactory::new();
    let mut sweep = Sweep { depth: None, body: None, found: None, pushed_rbp: false };
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            break;
        }
        if instruction.ip() == pc {
            sweep.found = sweep.depth;
        }
        sweep.step(&instruction, &mut factory)?;
        if instruction.next_ip() == pc && instruction.flow_control() != FlowControl::Next {
            sweep.found = sweep.found.or(sweep.depth);
        }
    }
    sweep.found.and_then(|depth| u64::try_from(depth).ok())
}

/// Whether the bytes that end at a return address are a call (Intel SDM 2: E8, FF /2).
pub(crate) fn ends_in_call(before: &[u8]) -> bool {
    (2..=7_usize).any(|len| {
        let Some(tail) = before.len().checked_sub(len).and_then(|from| before.get(from..)) else { return false };
        let instruction = Decoder::with_ip(64, tail, 0, DecoderOptions::NONE).decode();
        let call = matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall);
        call && instruction.len() == len
    })
}

struct Sweep {
    /// rbp - rsp, once rbp is set.
    depth: Option<i64>,
    /// The depth at the first branch or call behind the prologue.
    body: Option<i64>,
    found: Option<i64>,
    pushed_rbp: bool,
}

impl Sweep {
    /// `None`: rsp moves by what the code does not state.
    fn step(&mut self, instruction: &Instruction, factory: &mut InstructionInfoFactory) -> Option<()> {
        if is_frame_set(instruction) && self.pushed_rbp {
            self.depth = Some(0);
            return Some(());
        }
        self.pushed_rbp |= is_push_rbp(instruction);
        let Some(depth) = self.depth else { return Some(()) };
        match instruction.flow_control() {
            FlowControl::Next => self.depth = Some(lowered(depth, instruction, factory)?),
            FlowControl::Return | FlowControl::UnconditionalBranch | FlowControl::IndirectBranch => {
                // What follows is reached from elsewhere, at the depth of the body.
                self.body = self.body.or(Some(depth));
                self.depth = self.body;
            }
            _ => self.body = self.body.or(Some(depth)),
        }
        Some(())
    }
}

/// The depth behind an instruction that is no branch.
fn lowered(depth: i64, instruction: &Instruction, factory: &mut InstructionInfoFactory) -> Option<i64> {
    let writes_rsp = factory.info(instruction).used_registers().iter().any(|used| {
        let write = matches!(
            used.access(),
            OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite | OpAccess::ReadCondWrite
        );
        used.register().full_register() == Register::RSP && write
    });
    if !writes_rsp {
        return Some(depth);
    }
    let immediate = || instruction.immediate(1).cast_signed();
    let to_rsp = instruction.op0_register() == Register::RSP;
    match instruction.code() {
        Code::Sub_rm64_imm8 | Code::Sub_rm64_imm32 if to_rsp => depth.checked_add(immediate()),
        Code::Add_rm64_imm8 | Code::Add_rm64_imm32 if to_rsp => depth.checked_sub(immediate()),
        Code::Lea_r64_m if to_rsp && is_from(instruction, Register::RBP) => {
            0_i64.checked_sub(instruction.memory_displacement64().cast_signed())
        }
        Code::Lea_r64_m if to_rsp && is_from(instruction, Register::RSP) => {
            depth.checked_sub(instruction.memory_displacement64().cast_signed())
        }
        // The function's end: rbp itself is given back. What follows does not matter until the return.
        Code::Leaveq => Some(0),
        _ => match instruction.stack_pointer_increment() {
            0 => None,
            moved => depth.checked_sub(moved.into()),
        },
    }
}

fn is_from(instruction: &Instruction, base: Register) -> bool {
    instruction.memory_base() == base && instruction.memory_index() == Register::None
}

fn is_push_rbp(instruction: &Instruction) -> bool {
    instruction.code() == Code::Push_r64 && instruction.op0_register() == Register::RBP
}

fn is_frame_set(instruction: &Instruction) -> bool {
    matches!(instruction.code(), Code::Mov_r64_rm64 | Code::Mov_rm64_r64)
        && instruction.op1_kind() == OpKind::Register
        && instruction.op0_register() == Register::RBP
        && instruction.op1_register() == Register::RSP
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Check a usual function: three registers saved, 0x28 bytes of locals.
    ///
    /// ```text
    /// 1000: 55                push rbp
    /// 1001: 31 c0             xor eax, eax
    /// 1003: 48 89 e5          mov rbp, rsp
    /// 1006: 41 55             push r13
    /// 1008: 41 54             push r12
    /// 100a: 53                push rbx
    /// 100b: 48 83 ec 28       sub rsp, 0x28
    /// 100f: e8 00 00 00 00    call 1014
    /// 1014: 48 83 c4 28       add rsp, 0x28
    /// 1018: 5b 41 5c 41 5d 5d c3
    /// 101f: e8 00 00 00 00    call 1024     (a cold part behind the return)
    /// 1024: c3
    /// ```
    #[test]
    fn usual_function() {
        let code = [
            0x55, 0x31, 0xc0, 0x48, 0x89, 0xe5, 0x41, 0x55, 0x41, 0x54, 0x53, 0x48, 0x83, 0xec, 0x28, 0xe8, 0, 0, 0, 0,
            0x48, 0x83, 0xc4, 0x28, 0x5b, 0x41, 0x5c, 0x41, 0x5d, 0x5d, 0xc3, 0xe8, 0, 0, 0, 0, 0xc3,
        ];
        assert_eq!(rbp_above_rsp(&code, 0x1000, 0x1014), Some(0x40));
        assert_eq!(rbp_above_rsp(&code, 0x1000, 0x1024), Some(0x40));
        assert_eq!(rbp_above_rsp(&code, 0x1000, 0x1015), None, "no instruction begins there");
    }

    /// Check that arguments on the stack count, and that alloca and realignment are refused.
    #[test]
    fn moved_stack() {
        // push rbp; mov rbp, rsp; sub rsp, 16; push rax; push rax; call
        let pushes = [0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x10, 0x50, 0x50, 0xe8, 0, 0, 0, 0, 0xc9, 0xc3];
        assert_eq!(rbp_above_rsp(&pushes, 0, 15), Some(0x20));
        // push rbp; mov rbp, rsp; sub rsp, rax; call
        assert_eq!(
            rbp_above_rsp(&[0x55, 0x48, 0x89, 0xe5, 0x48, 0x29, 0xc4, 0xe8, 0, 0, 0, 0, 0xc9, 0xc3], 0, 12),
            None
        );
        // push rbp; mov rbp, rsp; and rsp, -32; call
        let aligned = [0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xe4, 0xe0, 0xe8, 0, 0, 0, 0, 0xc9, 0xc3];
        assert_eq!(rbp_above_rsp(&aligned, 0, 13), None);
        // sub rsp, 8; call: no frame pointer
        assert_eq!(rbp_above_rsp(&[0x48, 0x83, 0xec, 8, 0xe8, 0, 0, 0, 0, 0xc3], 0, 9), None);
    }

    /// Check the forms of a call, and what is none.
    #[test]
    fn calls() {
        assert!(ends_in_call(&[0x90, 0x90, 0xe8, 1, 2, 3, 4]));
        assert!(ends_in_call(&[0, 0, 0, 0, 0, 0xff, 0xd0]));
        assert!(ends_in_call(&[0, 0xff, 0x15, 1, 2, 3, 4]));
        assert!(!ends_in_call(&[0x90; 7]) && !ends_in_call(&[]));
    }

    proptest! {
        /// Check that no bytes make it panic.
        #[test]
        fn anything(code in proptest::collection::vec(any::<u8>(), 0..300), pc in 0_u64..300) {
            rbp_above_rsp(&code, 0, pc);
            ends_in_call(&code);
        }
    }
}
