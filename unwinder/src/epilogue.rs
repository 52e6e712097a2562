//! Where code that is about to return will return to, by that code itself: stubs that do nothing after a call (CPython's
//! `-X perf`), and any function that was interrupted at its end. Decodes code; reads none itself.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, OpKind, Register};

/// As much code as is looked at: six registers are given back in 16 bytes, with the locals and the return before and after.
pub(crate) const CODE_LEN: usize = 24;

/// A place on the stack: so far above what the register holds now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Above rbp, not rsp.
    pub(crate) of_rbp: bool,
    /// Bytes.
    pub(crate) offset: u64,
}

/// What a function will do that only returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Epilogue {
    /// Where the return address is.
    pub(crate) returns: Place,
    /// How far above that the caller's rsp is.
    pub(crate) released: u64,
    /// Where the caller's rbp is; `None`: it is in rbp.
    pub(crate) rbp: Option<Place>,
}

/// What `code`, which runs next, does to the stack until it returns. `None` if it does anything else first.
pub(crate) fn epilogue(code: &[u8]) -> Option<Epilogue> {
    let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
    let mut at = Place { of_rbp: false, offset: 0 };
    let mut rbp = None;
    while decoder.can_decode() {
        let instruction = decoder.decode();
        match instruction.code() {
            Code::Retnq => return Some(Epilogue { returns: at, released: 8, rbp }),
            Code::Retnq_imm16 => {
                return Some(Epilogue { returns: at, released: instruction.immediate(0).checked_add(8)?, rbp });
            }
            Code::Pop_r64 if instruction.op0_register() != Register::RSP => {
                if instruction.op0_register() == Register::RBP {
                    rbp = Some(at);
                }
                at.offset = at.offset.checked_add(8)?;
            }
            Code::Add_rm64_imm8 | Code::Add_rm64_imm32 if instruction.op0_register() == Register::RSP => {
                let raised = u64::try_from(instruction.immediate(1).cast_signed()).ok()?;
                at.offset = at.offset.checked_add(raised)?;
            }
            Code::Leaveq if rbp.is_none() => {
                rbp = Some(Place { of_rbp: true, offset: 0 });
                at = Place { of_rbp: true, offset: 8 };
            }
            _ if is_rsp_from_rbp(&instruction) && rbp.is_none() => at = Place { of_rbp: true, offset: 0 },
            Code::VEX_Vzeroupper | Code::Nopd | Code::Endbr64 => {}
            _ => return None,
        }
    }
    None
}

fn is_rsp_from_rbp(instruction: &Instruction) -> bool {
    matches!(instruction.code(), Code::Mov_r64_rm64 | Code::Mov_rm64_r64)
        && instruction.op1_kind() == OpKind::Register
        && instruction.op0_register() == Register::RSP
        && instruction.op1_register() == Register::RBP
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn above(register: &str, offset: u64) -> Place {
        Place { of_rbp: register == "rbp", offset }
    }

    /// Check ends of functions as they were seen, and what is none.
    #[test]
    fn ends() {
        let rows: [(&str, &[u8], Option<Epilogue>); 9] = [
            // CPython 3.12's trampoline, behind its call.
            (
                "add rsp, 8; ret",
                &[0x48, 0x83, 0xc4, 8, 0xc3],
                Some(Epilogue { returns: above("rsp", 8), released: 8, rbp: None }),
            ),
            // The same of 3.14.
            (
                "pop rbp; ret",
                &[0x5d, 0xc3],
                Some(Epilogue { returns: above("rsp", 8), released: 8, rbp: Some(above("rsp", 0)) }),
            ),
            (
                "add rsp, 0x128; pop rbx; pop rbp; pop r12; ret",
                &[0x48, 0x81, 0xc4, 0x28, 1, 0, 0, 0x5b, 0x5d, 0x41, 0x5c, 0xc3],
                Some(Epilogue { returns: above("rsp", 0x140), released: 8, rbp: Some(above("rsp", 0x130)) }),
            ),
            // V8, which takes arguments off the stack.
            (
                "mov rsp, rbp; pop rbp; ret 0x10",
                &[0x48, 0x8b, 0xe5, 0x5d, 0xc2, 0x10, 0],
                Some(Epilogue { returns: above("rbp", 8), released: 0x18, rbp: Some(above("rbp", 0)) }),
            ),
            (
                "leave; ret",
                &[0xc9, 0xc3],
                Some(Epilogue { returns: above("rbp", 8), released: 8, rbp: Some(above("rbp", 0)) }),
            ),
            ("pop rbp; leave; ret", &[0x5d, 0xc9, 0xc3], None),
            ("add rsp, -8; ret", &[0x48, 0x83, 0xc4, 0xf8, 0xc3], None),
            ("mov eax, ebx; ret", &[0x89, 0xd8, 0xc3], None),
            ("pop rbp; jmp", &[0x5d, 0xeb, 0], None),
        ];
        for (text, code, expected) in rows {
            assert_eq!(epilogue(code), expected, "{text}");
        }
    }

    proptest! {
        /// Check that no bytes make it panic.
        #[test]
        fn anything(code in proptest::collection::vec(any::<u8>(), 0..CODE_LEN)) {
            epilogue(&code);
        }
    }
}
