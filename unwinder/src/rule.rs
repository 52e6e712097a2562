//! How one frame leads to the next when three registers are enough: a rule of 16 bytes, made from a row of call frame
//! information, valid for exactly one address of one file.

use gimli::{CfaRule, Operation, RegisterRule, UnwindExpression, UnwindSection, UnwindTableRow};

use crate::{
    info::Slice,
    registers::{RA, RBP, RSP},
};

/// Where the canonical frame address is, and so what kind of frame this is.
///
/// The return address is always at CFA - 8, the caller's stack pointer always the CFA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cfa {
    /// CFA = rsp + a
    Sp,
    /// CFA = rbp + a
    Fp,
    /// CFA = *(rbp + a) + b (GCC's stack realignment)
    DerefFp,
    /// CFA = *(rsp + a) + b (hand-written assembly)
    DerefSp,
    /// The return address is undefined: this is the root.
    Root,
    /// No function description covers the address.
    None,
    /// The same, just before a function that is a root: the first instructions of a thread in `clone3`, which glibc
    /// leaves undescribed because parent and child both come by.
    Start,
    /// The description is damaged.
    Bad,
    /// More than three registers are needed, or an expression of another form.
    Full,
}

/// Where the caller's rbp is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rbp {
    /// Not touched.
    Same,
    /// *(CFA + c)
    AtCfa,
    /// *(rbp + c)
    AtFp,
    /// Not to be recovered.
    Lost,
}

/// A rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Where the CFA is.
    pub cfa: Cfa,
    /// Where rbp is.
    pub rbp: Rbp,
    /// See [`Cfa`].
    pub a: i32,
    /// See [`Cfa`].
    pub b: i32,
    /// See [`Rbp`].
    pub c: i32,
}

impl Rule {
    /// A rule without numbers.
    pub const fn plain(cfa: Cfa) -> Self {
        Self { cfa, rbp: Rbp::Same, a: 0, b: 0, c: 0 }
    }

    /// Whether the way up leads through rbp.
    pub fn needs_rbp(&self) -> bool {
        matches!(self.cfa, Cfa::Fp | Cfa::DerefFp)
    }

    /// From the row of a function description that covers `pc` (file address).
    pub(crate) fn of_row<'s, S: UnwindSection<Slice<'s>>>(row: &UnwindTableRow<usize>, section: &S, pc: u64) -> Self {
        match row.register(gimli::Register(RA)) {
            Some(RegisterRule::Undefined) => return Self::plain(Cfa::Root),
            Some(RegisterRule::Offset(-8)) => {}
            _ => return Self::plain(Cfa::Full),
        }
        // Another way to say that the caller's rsp is the CFA is to say nothing.
        if !matches!(row.register(gimli::Register(RSP)), None | Some(RegisterRule::ValOffset(0))) {
            return Self::plain(Cfa::Full);
        }
        Self::cfa_of(row, section, pc).and_then(|rule| rule.with_rbp(row, section)).unwrap_or(Self::plain(Cfa::Full))
    }

    fn cfa_of<'s, S: UnwindSection<Slice<'s>>>(row: &UnwindTableRow<usize>, section: &S, pc: u64) -> Option<Self> {
        match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                let cfa = match register.0 {
                    RSP => Cfa::Sp,
                    RBP => Cfa::Fp,
                    _ => return None,
                };
                Some(Self { a: i32::try_from(*offset).ok()?, ..Self::plain(cfa) })
            }
            CfaRule::Expression(expression) => Self::cfa_of_expression(*expression, section, pc),
        }
    }

    fn cfa_of_expression<'s, S: UnwindSection<Slice<'s>>>(
        expression: UnwindExpression<usize>,
        section: &S,
        pc: u64,
    ) -> Option<Self> {
        let bytes = expression.get(section).ok()?;
        if let Some(depth) = plt_depth(bytes.0.slice(), pc) {
            return Some(Self { a: depth, ..Self::plain(Cfa::Sp) });
        }
        let mut operations = bytes.operations(ENCODING);
        let (register, a) = register_offset(&operations.next().ok()??)?;
        let Operation::Deref { size: 8, space: false, .. } = operations.next().ok()?? else { return None };
        let b = match operations.next().ok()? {
            None => 0,
            Some(Operation::PlusConstant { value }) => i32::try_from(value).ok()?,
            Some(_) => return None,
        };
        if operations.next().ok()?.is_some() {
            return None;
        }
        let cfa = match register {
            RSP => Cfa::DerefSp,
            RBP => Cfa::DerefFp,
            _ => return None,
        };
        Some(Self { a, b, ..Self::plain(cfa) })
    }

    fn with_rbp<'s, S: UnwindSection<Slice<'s>>>(self, row: &UnwindTableRow<usize>, section: &S) -> Option<Self> {
        let (rbp, c) = match row.register(gimli::Register(RBP)) {
            None | Some(RegisterRule::SameValue) => (Rbp::Same, 0),
            Some(RegisterRule::Undefined) => (Rbp::Lost, 0),
            Some(RegisterRule::Offset(offset)) => (Rbp::AtCfa, i32::try_from(offset).ok()?),
            Some(RegisterRule::Expression(expression)) => {
                let mut operations = expression.get(section).ok()?.operations(ENCODING);
                let (register, c) = register_offset(&operations.next().ok()??)?;
                if register != RBP || operations.next().ok()?.is_some() {
                    return None;
                }
                (Rbp::AtFp, c)
            }
            Some(_) => return None,
        };
        Some(Self { rbp, c, ..self })
    }
}

/// Call frame information has no unit: addresses of 8 bytes, 32-bit DWARF.
pub(crate) const ENCODING: gimli::Encoding =
    gimli::Encoding { address_size: 8, format: gimli::Format::Dwarf32, version: 4 };

fn register_offset(operation: &Operation<Slice<'_>>) -> Option<(u16, i32)> {
    match operation {
        Operation::RegisterOffset { register, offset, .. } => Some((register.0, i32::try_from(*offset).ok()?)),
        _ => None,
    }
}

/// The procedure linkage table's expression: rsp + 8, and 8 more from the `n`th byte of each 16-byte entry on.
/// `DW_OP_breg7 8, breg16 0, lit15, and, lit<n>, ge, lit3, shl, plus` (GNU ld, gold, lld). The address is fixed for a
/// rule, so the sum is too.
fn plt_depth(expression: &[u8], pc: u64) -> Option<i32> {
    match expression {
        [0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a, literal @ 0x30..=0x3f, 0x2a, 0x33, 0x24, 0x22] => {
            let from = u64::from(literal.saturating_sub(0x30));
            Some(if pc & 15 >= from { 16 } else { 8 })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check the size that the cache counts on, and the PLT's two depths.
    #[test]
    fn size_and_plt() {
        assert_eq!(size_of::<Rule>(), 16);
        let plt = [0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22];
        assert_eq!([0x1020, 0x102a, 0x102b, 0x102f].map(|pc| plt_depth(&plt, pc)), [8, 8, 16, 16].map(Some));
        assert_eq!(plt_depth(&plt[..10], 0), None);
    }
}
