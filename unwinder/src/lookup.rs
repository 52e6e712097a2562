//! From an address of a file to its rule, or to the whole row where that is not enough.

use gimli::{UnwindContext, UnwindTableRow};

use crate::{
    info::{Found, UnwindInfo},
    registers::RA,
    rule::{Cfa, Rule},
};

/// A walk reads at most so many bytes of descriptions and code. A thousand frames of the usual 40 bytes are 40 kB; of the
/// worst kind, a mebibyte takes 0.2 s.
const WORK_MAX: usize = 1 << 20;

/// What rows are made with.
#[derive(Debug)]
pub(crate) struct Context {
    /// gimli's working memory, reused.
    rows: UnwindContext<usize>,
    pub(crate) work: Work,
}

impl Context {
    pub(crate) fn new() -> Self {
        Self { rows: UnwindContext::new(), work: Work::default() }
    }
}

/// What a walk has read so far.
#[derive(Default, Debug)]
pub(crate) struct Work(usize);

impl Work {
    /// A walk begins.
    pub(crate) fn begin(&mut self) {
        self.0 = 0;
    }

    /// Takes on more of it; `false` if that is too much.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        self.0 = self.0.saturating_add(bytes);
        self.0 <= WORK_MAX
    }
}

/// The rule for a file address, straight from the sections.
pub(crate) fn rule(info: &UnwindInfo, context: &mut Context, at: u64) -> Rule {
    match with_row(info, context, at, |row, found, signal| match found {
        // A trampoline restores every register from the signal's frame.
        _ if signal => Rule::plain(Cfa::Full),
        Found::Eh(section) => Rule::of_row(row, &section, at),
        Found::Debug(section) => Rule::of_row(row, &section, at),
    }) {
        Ok(Some(rule)) => rule,
        Ok(None) if is_start(info, context, at) => Rule::plain(Cfa::Start),
        Ok(None) => Rule::plain(Cfa::None),
        Err(_) => Rule::plain(Cfa::Bad),
    }
}

/// Whether an undescribed address is followed, within a few instructions, by a function without a return address.
fn is_start(info: &UnwindInfo, context: &mut Context, at: u64) -> bool {
    const REACH: std::ops::RangeInclusive<u64> = 1..=32;
    REACH.step_by(4).any(|ahead| {
        let at = at.wrapping_add(ahead);
        let root = |row: &UnwindTableRow<usize>, _: Found<'_>, _: bool| {
            row.register(gimli::Register(RA)) == Some(gimli::RegisterRule::Undefined)
        };
        matches!(with_row(info, context, at, root), Ok(Some(true)))
    })
}

/// The function at a file address: its start and its length.
pub(crate) fn function(info: &UnwindInfo, at: u64) -> Option<(u64, u64)> {
    let (_, fde) = info.find(at).ok()??;
    Some((fde.initial_address(), fde.len()))
}

/// Hands the row that covers a file address to `use_row`, with its section and whether it is a signal trampoline.
/// `None`: no function there.
pub(crate) fn with_row<T>(
    info: &UnwindInfo,
    context: &mut Context,
    at: u64,
    use_row: impl FnOnce(&UnwindTableRow<usize>, Found<'_>, bool) -> T,
) -> Result<Option<T>, gimli::Error> {
    let Some((found, fde)) = info.find(at)? else { return Ok(None) };
    if !context.work.take(fde.entry_len().saturating_add(fde.cie().entry_len())) {
        return Err(gimli::Error::TooManyIterations);
    }
    let signal = fde.cie().is_signal_trampoline();
    let row = match &found {
        Found::Eh(section) => fde.unwind_info_for_address(section, info.bases(), &mut context.rows, at)?,
        Found::Debug(section) => fde.unwind_info_for_address(section, info.bases(), &mut context.rows, at)?,
    };
    Ok(Some(use_row(row, found, signal)))
}
