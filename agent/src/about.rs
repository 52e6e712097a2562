//! What a server that runs here says of itself and of this machine.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use profile::id::Pid;
use sampler::procfs::process_stat;
use server::{
    Counts, Project,
    api::status::{Check, MachineStatus, Process, ProjectStatus, ReceivedStatus, Status, StatusSource, StoreStatus},
    projects::dsn,
};
use store::item::Retention;

use crate::{clocks, doctor, store::retention};

/// A folder is measured at most so often: it may have thousands of files.
const MEASURE_EVERY: Duration = Duration::from_secs(15);
/// Processes that are named.
const PROCESSES_MAX: usize = 8;
/// Files of a folder that are measured.
const FILES_MAX: usize = 1_000_000;
/// Programs whose first argument that is no option says what runs.
const INTERPRETERS: [&str; 6] = ["python", "node", "ruby", "perl", "php", "java"];

/// What does not change while a server runs.
#[derive(Debug)]
pub struct About {
    listen: SocketAddr,
    started_us: u64,
    /// `None`: a database has it all.
    folder: Option<PathBuf>,
    retention: Retention,
    checks: Vec<Check>,
}

impl About {
    /// Of a server at this address, whose store is in `folder`; `None`: a database is it.
    pub fn new(settings: &config::Settings, listen: SocketAddr, folder: Option<&Path>) -> Self {
        Self {
            listen,
            started_us: clocks::now().unix_ns / 1000,
            folder: folder.map(Path::to_owned),
            retention: retention(settings),
            checks: doctor::checks(),
        }
    }

    /// Tells it, with what changes.
    pub fn source(self, projects: Vec<Project>, counts: Arc<Counts>) -> StatusSource {
        let measured: Mutex<Option<(Instant, u64)>> = Mutex::new(None);
        StatusSource(Arc::new(move || {
            let bytes = self.folder.as_deref().map(|folder| {
                let mut measured = measured.lock().unwrap_or_else(PoisonError::into_inner);
                match *measured {
                    Some((at, bytes)) if at.elapsed() < MEASURE_EVERY => bytes,
                    _ => measured.insert((Instant::now(), size(folder))).1,
                }
            });
            self.status(&projects, &counts, bytes)
        }))
    }

    fn status(&self, projects: &[Project], counts: &Counts, bytes: Option<u64>) -> Status {
        let tally = counts.tally();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            listen: Some(self.listen.to_string()),
            started_us: self.started_us,
            projects: projects
                .iter()
                .map(|of| ProjectStatus { id: of.id, name: of.name.clone(), dsn: dsn(of, self.listen) })
                .collect(),
            store: StoreStatus {
                kind: if self.folder.is_some() { "embedded" } else { "clickhouse" },
                path: self.folder.as_ref().map(|folder| folder.display().to_string()),
                bytes,
                limit_bytes: Some(self.retention.bytes),
                days: u64::from(self.retention.days),
                free_bytes: self.folder.as_deref().and_then(free),
            },
            received: ReceivedStatus {
                envelopes: tally.answers.get(&200).copied().unwrap_or(0),
                items: tally.taken.values().sum(),
                refused: tally.refused.values().sum(),
            },
            machine: MachineStatus {
                cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
                checks: self.checks.clone(),
                processes: processes(),
            },
        }
    }
}

/// Bytes of all files of a folder; links are not followed.
fn size(folder: &Path) -> u64 {
    let (mut open, mut bytes, mut files) = (vec![folder.to_owned()], 0_u64, 0);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            files += 1;
            if files > FILES_MAX {
                return bytes;
            }
            if metadata.is_dir() {
                open.push(entry.path());
            } else {
                bytes = bytes.saturating_add(metadata.len());
            }
        }
    }
    bytes
}

/// What others than root may still write there.
fn free(folder: &Path) -> Option<u64> {
    let disk = nix::sys::statvfs::statvfs(folder).ok()?;
    Some(disk.blocks_available().saturating_mul(disk.fragment_size()))
}

/// Those that used most CPU time, but for ourselves and kernel threads.
fn processes() -> Vec<Process> {
    let own = std::process::id();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut found: Vec<(u64, i32)> = pids
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| u32::try_from(*pid).is_ok_and(|pid| pid != own && pid != 1))
        .filter_map(|pid: i32| Some((process_stat(Pid(pid)).ok()?.cpu_ticks, pid)))
        .collect();
    found.sort_by_key(|(ticks, pid)| (std::cmp::Reverse(*ticks), *pid));
    // A name is read of the few that are shown: of a process that is stuck that may take long.
    found.into_iter().filter_map(|(_, pid)| Some(Process { pid, name: name(pid)? })).take(PROCESSES_MAX).collect()
}

/// Its program, and what an interpreter runs; no other argument, since those may be secret. `None`: a kernel thread.
fn name(pid: i32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).filter(|word| !word.is_empty());
    let base = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let program = base(words.next()?.split(' ').next()?);
    if !INTERPRETERS.iter().any(|name| program.starts_with(name)) {
        return Some(program);
    }
    let script = words.next().filter(|word| !word.starts_with('-')).map(|word| base(&word));
    Some(script.map_or_else(|| program.clone(), |script| format!("{program} {script}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check what is found of ourselves, and the size of a folder within folders.
    #[test]
    fn of_this_machine() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(name(own).is_some_and(|name| name.starts_with("agent")), "{:?}", name(own));
        assert!(processes().iter().all(|process| process.pid != own));
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("inner/file"), [0; 1000]).unwrap();
        fs::write(folder.path().join("file"), [0; 10]).unwrap();
        assert_eq!(size(folder.path()), 1010);
        assert!(free(folder.path()).is_some());
    }
}
