//! `sentry-profiled record`: profile into a file.

use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use profile::{
    chunk::Chunk,
    export::{Options, collapsed, pprof, speedscope},
};

use crate::{
    cli::{Format, RecordArguments},
    exit::Failure,
    pipeline::Outlet,
    run::{Plan, profile, write_file},
    session::Keep,
};

/// Profiles, then writes.
pub fn record(arguments: &RecordArguments) -> Result<u8, Failure> {
    if arguments.target.pids.is_empty() && arguments.target.command.is_empty() {
        return Err(Failure::Usage("no target: give --pid PID, or a command after --".to_owned()));
    }
    // Opened first: a path that cannot be written should not cost a recording.
    let mut out = write_file(&arguments.output)?;
    let sentry = arguments.format == Format::Sentry;
    let chunks = Collected::default();
    let plan = Plan {
        target: &arguments.target,
        release: None,
        environment: None,
        platform: None,
        keep: Keep { chunks: sentry, recording: true },
    };
    let done = profile(&plan, Box::new(Collected(Arc::clone(&chunks.0))))?;
    let options = Options { on_cpu: arguments.on_cpu, lines: arguments.lines };
    match arguments.format {
        Format::Collapsed => collapsed::write(&done.recorded, options, &mut out)?,
        Format::Speedscope => speedscope::write(&done.recorded, options, &mut out)?,
        Format::Pprof => pprof::write(&done.recorded, options, &mut out)?,
        Format::Sentry => {
            for chunk in chunks.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                out.write_all(&chunk.payload)?;
                out.write_all(b"\n")?;
            }
        }
    }
    out.flush()?;
    crate::status::summary(&done);
    Ok(done.code)
}

#[derive(Default)]
struct Collected(Arc<Mutex<Vec<Chunk>>>);

impl Outlet for Collected {
    fn chunk(&mut self, chunk: Chunk) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(chunk);
    }
}
