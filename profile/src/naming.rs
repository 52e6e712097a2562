//! Who gives names to raw frames, and how a frame without a name is called. The naming itself is the symbolizer's.

use std::{borrow::Cow, sync::Arc};

use crate::{
    code::{Code, CodeIndex},
    frame::Frame,
    module::Module,
    stack::{CodeFrame, Gap, NativeFrame, RawFrame, StackEnd, Truncation},
};

/// Gives a native frame its names: one frame, or several where calls were inlined, innermost first. Never empty;
/// `Frame::address` is left to the caller.
pub trait Namer {
    /// Asked once for each distinct frame of a chunk or a recording.
    fn name(&mut self, frame: &NativeFrame) -> Arc<[Frame]>;
}

impl<F: FnMut(&NativeFrame) -> Arc<[Frame]>> Namer for F {
    fn name(&mut self, frame: &NativeFrame) -> Arc<[Frame]> {
        self(frame)
    }
}

/// The last part of a path: what `module` says for native frames.
pub fn file_name(path: &str) -> &str {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(path)
}

/// The frame at the root side of a stack that was cut: nobody should take the last frame seen for the root.
pub fn truncation_frame(end: StackEnd) -> Option<Frame> {
    let StackEnd::Truncated(why) = end else { return None };
    Some(Frame { function: Some(truncation_name(why).into()), ..Frame::default() })
}

fn truncation_name(why: Truncation) -> String {
    format!("[truncated: {}]", why.as_str())
}

/// What stands between frames that may not have called each other.
fn gap_name(gap: Gap) -> String {
    match gap {
        Gap::Unplaced(Some(why)) => truncation_name(why),
        Gap::Unplaced(None) => format!("[{}]", gap.as_str()),
        Gap::NoCaller => format!("[truncated: {}]", gap.as_str()),
    }
}

/// How a frame is called where only a name fits: its function, else `module+0xFILE_ADDRESS` of where its function begins (if
/// that is not known, of the frame), else its address.
pub fn label<'f>(frame: &'f Frame, raw: &RawFrame, module: Option<&Module>) -> Cow<'f, str> {
    match (&frame.function, raw.native(), module) {
        (Some(function), _, _) => Cow::Borrowed(function),
        (None, Some(raw), Some(module)) => {
            let at = frame.start.unwrap_or_else(|| raw.file_lookup(module.bias));
            Cow::Owned(format!("{}+{at}", file_name(&module.path)))
        }
        (None, Some(raw), None) => Cow::Owned(format!("[{}]", raw.lookup())),
        (None, None, _) => Cow::Borrowed("[unnamed]"),
    }
}

/// The frame of a function of a language runtime, or of what is missing; `None` for a native one, which a [`Namer`] names.
/// `cwd` is the target's working directory.
pub fn named_by_itself<'c>(
    raw: &RawFrame,
    cwd: Option<&str>,
    code_of: impl FnOnce(CodeIndex) -> Option<&'c Code>,
) -> Option<Frame> {
    match raw {
        RawFrame::Native(_) => None,
        RawFrame::Code(CodeFrame { code, line }) => {
            let frame = code_of(*code).map(|code| code.frame(*line, cwd));
            Some(frame.unwrap_or_else(|| Frame { function: Some("[unknown]".into()), ..Frame::default() }))
        }
        RawFrame::Omitted(frames) => {
            Some(Frame { function: Some(format!("[{frames} frames omitted]").into()), ..Frame::default() })
        }
        RawFrame::Gap(gap) => Some(Frame { function: Some(gap_name(*gap).into()), ..Frame::default() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check what stands for what is missing, inside a stack and at its root, and how the stack is said to end.
    #[test]
    fn missing() {
        let (cut, unplaced) = (Gap::Unplaced(Some(Truncation::BeyondCopy)), Gap::Unplaced(None));
        let shown = |gap| {
            let frame = named_by_itself(&RawFrame::Gap(gap), None, |_| None).and_then(|frame| frame.function);
            assert_eq!(truncation_frame(StackEnd::Gap(gap)), None);
            format!("{} {} {}", frame.unwrap_or_default(), StackEnd::Gap(gap), gap.as_str())
        };
        assert_eq!(shown(cut), "[truncated: beyond_copy] unplaced: beyond_copy unplaced");
        assert_eq!(shown(unplaced), "[unplaced] unplaced unplaced");
        assert_eq!(shown(Gap::NoCaller), "[truncated: no_caller] truncated: no_caller no_caller");
        let root = truncation_frame(StackEnd::Truncated(Truncation::BeyondCopy)).and_then(|frame| frame.function);
        assert_eq!(root.as_deref(), Some("[truncated: beyond_copy]"));
    }
}
