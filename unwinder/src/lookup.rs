//! From an address of a file to its rule, or to the whole row where that is not enough.

use gimli::{UnwindContext, UnwindTableRow};

use crate::{
    info::{Found, UnwindInfo},
    registers::RA,
    rule::{Cfa, Rule},
};

/// gimli's working memory, reused.
pub(crate) type Context = UnwindContext<usize>;

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
    let signal = fde.cie().is_signal_trampoline();
    let row = match &found {
        Found::Eh(section) => fde.unwind_info_for_address(section, info.bases(), context, at)?,
        Found::Debug(section) => fde.unwind_info_for_address(section, info.bases(), context, at)?,
    };
    Ok(Some(use_row(row, found, signal)))
}
