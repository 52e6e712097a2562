//! `sentry-profiled record`: profile into a file.

use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use profile::export::{Options, View, collapsed, firefox, pprof, speedscope};

use crate::{
    cli::{Format, RecordArguments},
    exit::Failure,
    outlet::Outlet,
    run::{Plan, need_target, profile, write_file},
    session::Keep,
    settings,
};

/// Profiles, then writes.
pub fn record(arguments: &RecordArguments) -> Result<u8, Failure> {
    need_target(&arguments.target)?;
    let loaded = settings::of_sampling(&arguments.target)?;
    // Opened first: a path that cannot be written should not cost a recording.
    let mut out = write_file(&arguments.output)?;
    let chunks = Arc::new(Mutex::new(Vec::new()));
    let sentry = arguments.format == Format::Sentry;
    let outlet = if sentry { Outlet::Collect(Arc::clone(&chunks)) } else { Outlet::Nowhere };
    let plan = Plan {
        target: &arguments.target,
        loaded: &loaded,
        keep: Keep { chunks: sentry, recording: true, whole: true },
        outlet,
        journals: None,
        open: false,
    };
    let done = profile(&plan)?;
    let options = Options { lines: arguments.lines };
    let view = View::of_recordings(&done.recorded);
    match arguments.format {
        Format::Collapsed => collapsed::write(&view, options, &mut out)?,
        Format::Speedscope => speedscope::write(&view, &mut out)?,
        Format::Pprof => pprof::write(&view, &mut out)?,
        Format::Firefox => firefox::write(&view, &mut out)?,
        Format::Sentry => {
            for chunk in chunks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                out.write_all(&chunk.payload)?;
                out.write_all(b"\n")?;
            }
        }
    }
    out.flush()?;
    crate::status::summary(&done);
    Ok(done.code)
}
