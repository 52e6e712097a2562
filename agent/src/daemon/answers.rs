//! What is answered over the control socket. Decides nothing: that is `conduct`.

use std::sync::Arc;

use config::{CodeOptions, Told};
use profile::{board::BOARD_BYTES, id::Pid};
use serde_json::{Value, json};
use tracing::{info, warn};

use super::{
    Daemon,
    conduct::own_dsn,
    control::{
        peer::Peer,
        told::{Answer, Ask, BoardAt, Looked, Refusal, Registration},
    },
    fleet::{Forced, Found, Place, Process, Registered},
};

/// Why one does not run that the settings start.
const STOPPED: &str = "it was stopped; `sentry-profiled start` starts it again";
/// Longer ones are no release (Sentry's limit).
const RELEASE_MAX: usize = 200;

impl Daemon {
    pub(super) fn answer(&mut self, ask: Ask) {
        // Who asked may have gone: then nobody hears it.
        match ask {
            Ask::Register(peer, registration, reply) => drop(reply.send(self.register(peer, *registration))),
            Ask::Look(peer, reply) => drop(reply.send(self.look_up(peer))),
            Ask::Run(peer, pid, start, reply) => drop(reply.send(self.run_for(peer, pid, start))),
            Ask::Status(reply) => drop(reply.send(self.status())),
            Ask::Targets(reply) => drop(reply.send(self.targets())),
            Ask::Reload(reply) => drop(reply.send(self.reload())),
            Ask::Metrics(reply) => drop(reply.send(self.metrics())),
        }
    }

    fn register(&mut self, peer: Peer, registration: Registration) -> Looked {
        let board = registration.board.map(board).transpose()?;
        let found = found(peer)?;
        // It may have been born a moment ago, and its parent before it.
        self.look();
        if !self.consider_one(found, true) {
            const HINT: &str = "add a [[target]] whose match has this process, as match.env = { SENTRY_PROFILED = \"1\" } or match.client = true";
            return Err(Refusal::new(404, "no target of this agent's settings has this process", HINT));
        }
        let dsn = registration.options.get("dsn").and_then(Value::as_str).and_then(own_dsn);
        let options = Value::Object(registration.options.into_iter().collect());
        let code: CodeOptions = serde_json::from_value(options).unwrap_or_default();
        let told = Told::by_code(code, &self.loaded.settings.daemon.dsn_hosts);
        if let Some(process) = self.fleet.processes.get_mut(&peer.pid) {
            let client = registration.client;
            info!(pid = %peer.pid, entry = process.entry, client = client.name, version = client.version, sdk = client.sdk, "A client has registered.");
            let release = registration.resolved.release.filter(|release| release.len() <= RELEASE_MAX);
            process.client = Some(Registered { client, told, dsn, board, release });
            // What could not be opened for another program may be now.
            if let Place::Refused(_) = process.place {
                process.place = Place::Off;
            }
        }
        self.settle(peer.pid);
        self.open_now(peer.pid);
        self.look_up(peer)
    }

    fn look_up(&mut self, peer: Peer) -> Looked {
        found(peer)?;
        let process = self.fleet.processes.get(&peer.pid).filter(|it| it.start_time == peer.start_time);
        let process = process.ok_or_else(|| {
            Refusal::new(404, "this process is no target, or has not registered", "POST /v1/self first")
        })?;
        Ok((tell(process), Arc::clone(&process.changed)))
    }

    fn run_for(&mut self, peer: Peer, pid: i32, start: bool) -> Result<super::control::told::Started, Refusal> {
        if pid == peer.pid.0 {
            let found = found(peer)?;
            self.look();
            self.consider_one(found, false);
        }
        self.run_process(Pid(pid), start)
    }

    /// Reads the settings file again. What is wrong leaves everything as it was.
    pub(super) fn reload(&mut self) -> Result<Value, Refusal> {
        self.manager.reloading();
        let wrong = |error: String| {
            Refusal::new(400, error, "the settings are as before; `sentry-profiled check` tells what is wrong")
        };
        let loaded = config::load(self.file.as_deref(), self.flags.clone()).map_err(|error| wrong(error.to_string()));
        let loaded = loaded.and_then(|loaded| {
            crate::settings::dsns(&loaded).map_err(|error| wrong(error.into_error().to_string()))?;
            Ok(loaded)
        });
        let result = match loaded {
            Ok(loaded) => {
                let warnings = crate::settings::warnings(&loaded);
                let needs_restart = self.needs_restart(&loaded);
                self.loaded = loaded;
                self.budget.limits = super::conduct::limits(&self.loaded.settings);
                self.pod = crate::facts::Pod::read(&self.loaded.settings.daemon.pod_info);
                let all = self.fleet.all();
                // Places in the file are others now; a parent may be looked at after its child.
                self.fleet.processes.values_mut().for_each(|process| process.entry_at = usize::MAX);
                self.consider(&all);
                self.outlets.resume(&self.loaded, &self.naming);
                info!(targets = self.loaded.settings.targets.len(), "The settings were read again.");
                for warning in warnings.iter().chain(&needs_restart) {
                    warn!("{warning}");
                }
                let all = [warnings, needs_restart].concat();
                Ok(json!({"entries": self.loaded.settings.targets.len(), "warnings": all}))
            }
            Err(refusal) => Err(refusal),
        };
        self.manager.ready();
        result
    }

    fn needs_restart(&self, next: &config::Loaded) -> Vec<String> {
        let (now, next) = (&self.running, &next.settings);
        let changed = [
            ("sampling", now.sampling != next.sampling),
            ("naming", now.naming != next.naming),
            ("python", now.python != next.python),
            ("shipping", now.shipping != next.shipping),
            ("server", now.server != next.server),
            ("store", now.store != next.store),
            ("daemon.control", config::control_socket(now) != config::control_socket(next)),
            ("daemon.metrics", now.daemon.metrics != next.daemon.metrics),
        ];
        let sections = changed.into_iter().filter(|(_, is)| *is);
        sections.map(|(section, _)| format!("[{section}] has changed; that takes a restart")).collect()
    }

    fn targets(&self) -> Value {
        let sessions = self.pipeline.sessions();
        let row = |process: &Process| {
            let (place, id) = match &process.place {
                Place::Off => ("off", None),
                Place::Waiting => ("waiting", None),
                Place::AtWork(id) => ("attached", Some(*id)),
                Place::Ending(id) => ("ending", Some(*id)),
                Place::Refused(_) => ("refused", None),
            };
            let session = id.and_then(|id| sessions.get(&id));
            let not_opened = match (&process.place, &process.retry) {
                (Place::Refused(why), _) => Some(why.as_str()),
                (Place::Waiting, Some(retry)) => Some(retry.why.as_str()),
                _ => None,
            };
            let stopped = matches!(process.forced, Forced::Stopped(_)).then_some(STOPPED);
            let running = session.and_then(|session| session.running);
            // Its last chunk may still be named.
            let running = running.filter(|id| process.forced != Forced::Stopped(Some(*id)));
            json!({
                "pid": process.pid.0,
                "target": process.entry,
                "mode": process.verdict.mode,
                "sampled": process.verdict.sampled,
                "reason": not_opened.or(process.held_back).or(stopped).or(process.verdict.reason.as_deref()),
                "state": place,
                "profiler_id": running.map(|id| id.to_string()),
                "registered": process.client.is_some(),
                "client": process.client.as_ref().map(|client| &client.client),
                "environment": process.effective.environment.value,
                "release": process.effective.release.value,
                "every": id.map(|id| self.turn_text(id)),
                "threads": session.map(|session| session.threads),
                "ticks": session.map(|session| session.ticks),
                "chunks": session.map(|session| session.chunks),
                "stopped_us": session.map(|session| session.stopped_us),
                "windows_lost": session.map(|session| session.windows_lost),
                "counters": session.map(|session| &session.counters),
                "warnings": warnings(process),
            })
        };
        Value::Array(self.fleet.processes.values().map(row).collect())
    }
}

/// Whose pid we see.
fn found(peer: Peer) -> Result<Found, Refusal> {
    const HINT: &str = "run the agent in the same pid namespace, or in one above it (shareProcessNamespace, hostPID)";
    let stat = sampler::procfs::process_stat(peer.pid)
        .ok()
        .filter(|stat| stat.start_time == peer.start_time && peer.pid.0 > 0);
    let stat = stat.ok_or_else(|| Refusal::new(403, "the agent does not see the process that asks", HINT))?;
    Ok(Found { pid: peer.pid, parent: stat.parent, start_time: peer.start_time })
}

fn board(at: BoardAt) -> Result<u64, Refusal> {
    let fits = at.version == 1 && at.size == BOARD_BYTES as u64 && at.address != 0 && at.address.is_multiple_of(8);
    if fits {
        Ok(at.address)
    } else {
        Err(Refusal::new(400, "no such board", "version 1, 32768 bytes, at an address that 8 divides"))
    }
}

fn tell(process: &Process) -> Answer {
    let of = &process.effective;
    let refused = if let Place::Refused(why) = &process.place { Some(why.clone()) } else { None };
    let running = if let Forced::Running(id) = process.forced { Some(id.to_string()) } else { None };
    Answer {
        target: process.entry.clone(),
        mode: process.verdict.mode,
        sampled: process.verdict.sampled && refused.is_none(),
        reason: refused.or_else(|| process.verdict.reason.clone()),
        options: json!({
            "profile_lifecycle": of.profile_lifecycle.value.to_string(),
            "profile_session_sample_rate": of.profile_session_sample_rate.value.get(),
            "traces_sample_rate": of.traces_sample_rate.value.map(config::SampleRate::get),
            "profiles_sample_rate": of.profiles_sample_rate.value.map(config::SampleRate::get),
            "profiles_sampler": of.profiles_sampler.value,
            "environment": of.environment.value,
            "release": of.release.value,
        }),
        warnings: warnings(process),
        running,
        change: process.change,
    }
}

/// A DSN that does not count is no matter where it is the one that holds.
fn warnings(process: &Process) -> Vec<String> {
    let code = process.client.iter().flat_map(|client| &client.told.warnings);
    let holds = process.effective.dsn.value.as_ref().is_some_and(|dsn| process.own_dsns().all(|own| own == dsn));
    let all = process.environment.warnings.iter().chain(code);
    let all = all.filter(|warning| !(holds && warning.starts_with("the program's DSN"))).cloned();
    all.chain(process.effective.mode_warning().map(str::to_owned)).collect()
}
