//! One frame with every register: what the call frame information says of each, expressions evaluated over registers
//! and memory. Slower than a rule, and exact.

use gimli::{
    CfaRule, Evaluation, EvaluationResult, EvaluationStorage, Expression, Location, Piece, RegisterRule,
    UnwindExpression, UnwindSection, UnwindTableRow, Value,
};
use profile::address::RemoteAddr;

use crate::{
    Memory,
    info::Slice,
    registers::{COUNT, RA, RSP, Registers},
    rule::ENCODING,
};

/// Longer expressions are no unwind information.
const STEPS_MAX: u32 = 256;

/// Why a frame could not be evaluated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failed {
    /// A register that is not known.
    Register,
    /// Memory that is not there.
    Memory,
    /// The row makes no sense.
    Bad,
}

/// The caller's registers; `None`: this frame is the root.
pub(crate) fn step<'s, S: UnwindSection<Slice<'s>>>(
    row: &UnwindTableRow<usize>,
    section: &S,
    registers: &Registers,
    memory: &mut impl Memory,
) -> Result<Option<Registers>, Failed> {
    if row.register(gimli::Register(RA)) == Some(RegisterRule::Undefined) {
        return Ok(None);
    }
    let mut frame = Frame { section, registers, memory, marker: std::marker::PhantomData };
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => {
            registers.get(register.0).ok_or(Failed::Register)?.wrapping_add_signed(*offset)
        }
        CfaRule::Expression(expression) => frame.evaluate(*expression, None)?,
    };
    let mut caller = *registers;
    caller.set(RSP, Some(cfa));
    for number in 0..COUNT {
        let number = u16::try_from(number).map_err(|_| Failed::Bad)?;
        let Some(rule) = row.register(gimli::Register(number)) else { continue };
        match frame.register(&rule, number, cfa) {
            Ok(value) => caller.set(number, value),
            // A register that cannot be had is unknown further up; without the return address there is no way up.
            Err(failed) if number == RA || number == RSP => return Err(failed),
            Err(_) => caller.set(number, None),
        }
    }
    if row.register(gimli::Register(RA)).is_none() {
        return Err(Failed::Bad);
    }
    Ok(Some(caller))
}

struct Frame<'f, 's, S, M> {
    section: &'f S,
    registers: &'f Registers,
    memory: &'f mut M,
    marker: std::marker::PhantomData<&'s ()>,
}

impl<'s, S: UnwindSection<Slice<'s>>, M: Memory> Frame<'_, 's, S, M> {
    fn register(&mut self, rule: &RegisterRule<usize>, number: u16, cfa: u64) -> Result<Option<u64>, Failed> {
        match *rule {
            RegisterRule::Undefined | RegisterRule::Architectural => Ok(None),
            RegisterRule::SameValue => Ok(self.registers.get(number)),
            RegisterRule::Offset(offset) => self.word(cfa.wrapping_add_signed(offset), 8).map(Some),
            RegisterRule::ValOffset(offset) => Ok(Some(cfa.wrapping_add_signed(offset))),
            RegisterRule::Register(other) => Ok(self.registers.get(other.0)),
            RegisterRule::Expression(expression) => {
                let at = self.evaluate(expression, Some(cfa))?;
                self.word(at, 8).map(Some)
            }
            RegisterRule::ValExpression(expression) => self.evaluate(expression, Some(cfa)).map(Some),
            RegisterRule::Constant(value) => Ok(Some(value)),
        }
    }

    fn word(&mut self, at: u64, size: u8) -> Result<u64, Failed> {
        let mut bytes = [0; 8];
        let wanted = bytes.get_mut(..usize::from(size)).ok_or(Failed::Bad)?;
        if self.memory.read(RemoteAddr(at), wanted) { Ok(u64::from_le_bytes(bytes)) } else { Err(Failed::Memory) }
    }

    fn evaluate(&mut self, expression: UnwindExpression<usize>, initial: Option<u64>) -> Result<u64, Failed> {
        let Expression(bytes) = expression.get(self.section).map_err(|_| Failed::Bad)?;
        let mut evaluation: Evaluation<Slice<'s>, OnStack> = Evaluation::new_in(bytes, ENCODING);
        evaluation.set_max_iterations(STEPS_MAX);
        if let Some(initial) = initial {
            evaluation.set_initial_value(initial);
        }
        let mut result = evaluation.evaluate().map_err(|_| Failed::Bad)?;
        loop {
            result = match result {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresMemory { address, size, space: None, .. } => {
                    let value = Value::Generic(self.word(address, size)?);
                    evaluation.resume_with_memory(value).map_err(|_| Failed::Bad)?
                }
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = Value::Generic(self.registers.get(register.0).ok_or(Failed::Register)?);
                    evaluation.resume_with_register(value).map_err(|_| Failed::Bad)?
                }
                _ => return Err(Failed::Bad),
            };
        }
        match evaluation.as_result() {
            [Piece { location: Location::Address { address }, .. }] => Ok(*address),
            _ => Err(Failed::Bad),
        }
    }
}

/// Working memory of an evaluation without an allocation: a walk may happen while a thread is held stopped.
struct OnStack;

impl<'s> EvaluationStorage<Slice<'s>> for OnStack {
    type Stack = [Value; 64];
    type ExpressionStack = [(Slice<'s>, Slice<'s>); 4];
    type Result = [Piece<Slice<'s>>; 1];
}
