//! Who gives names to raw frames, and how a frame without a name is called. The naming itself is the symbolizer's.

use std::{borrow::Cow, sync::Arc};

use crate::{
    frame::Frame,
    module::Module,
    stack::{RawFrame, StackEnd, Truncation},
};

/// Gives a raw frame its names: one frame, or several where calls were inlined, innermost first. Never empty;
/// `Frame::address` is left to the caller.
pub trait Namer {
    /// Asked once for each distinct frame of a chunk or a recording.
    fn name(&mut self, frame: &RawFrame) -> Arc<[Frame]>;
}

impl<F: FnMut(&RawFrame) -> Arc<[Frame]>> Namer for F {
    fn name(&mut self, frame: &RawFrame) -> Arc<[Frame]> {
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

/// How a frame is called where only a name fits: its function, else `module+0xFILE_ADDRESS` of where its function begins (if
/// that is not known, of the frame), else its address.
pub fn label<'f>(frame: &'f Frame, raw: &RawFrame, module: Option<&Module>) -> Cow<'f, str> {
    match (&frame.function, module) {
        (Some(function), _) => Cow::Borrowed(function),
        (None, Some(module)) => {
            let at = frame.start.unwrap_or_else(|| raw.file_lookup(module.bias));
            Cow::Owned(format!("{}+{at}", file_name(&module.path)))
        }
        (None, None) => Cow::Owned(format!("[{}]", raw.lookup())),
    }
}
