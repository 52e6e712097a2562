//! Whether a frame is the application's own where its sender leaves that to the receiver: Sentry's rules by platform, as far
//! as names and paths tell.

use crate::encoding::symbols::{Frame, Symbols};

/// Folders of what is installed for Python, and its own library.
const PYTHON: [&str; 4] = ["/site-packages/", "/dist-packages/", "/lib/python", "<frozen "];
/// What is Node's, and what npm installs.
const NODE: [&str; 2] = ["/node_modules/", "node:"];

/// What the sender says, else what the rules say; on platforms without rules: no.
pub(crate) fn of(frame: &Frame, symbols: &Symbols, platform: &str) -> bool {
    match frame.in_app {
        1 => return false,
        2 => return true,
        _ => (),
    }
    let path = symbols.texts.get(frame.path()).or_else(|| symbols.texts.get(frame.file())).unwrap_or_default();
    let is_foreign = |marks: &[&str]| path.is_empty() || marks.iter().any(|mark| path.contains(mark));
    match symbols.texts.get(frame.platform()).unwrap_or(platform) {
        "python" => {
            let module = symbols.texts.get(frame.module()).unwrap_or_default();
            !is_foreign(&PYTHON) && module != "sentry_sdk" && !module.starts_with("sentry_sdk.")
        }
        "node" | "javascript" => !is_foreign(&NODE),
        _ => false,
    }
}
