//! `sentry-profiled daemon`: profiles the services that the settings file names, until it is told to end. This file starts the
//! pieces and turns the wheel; `conduct` decides about processes, `answers` speaks for them, `second` keeps accounts.

mod answers;
mod budget;
mod conduct;
pub(crate) mod control;
mod fleet;
mod outlets;
mod relief;
mod second;
mod systemd;
mod verdict;

use std::{
    os::fd::AsFd,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use config::{Loaded, Overrides};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
};
use sampler::Sampler;
use tracing::{info, warn};

use self::{
    budget::Budget, control::Asks, fleet::Fleet, outlets::Outlets, relief::Trim, second::Accounts, systemd::Manager,
};
use crate::{
    cli::DaemonArguments,
    exit::Failure,
    facts::Pod,
    hours::Hours,
    naming::{Naming, Patience},
    pipeline::Pipeline,
    session::Keep,
    settings,
    shelf::Shelf,
    startup::{self, Signals},
};

/// How often new processes are looked for, at least.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);

/// The running daemon.
struct Daemon {
    loaded: Loaded,
    /// What was read at the start: some of it holds until the end.
    running: config::Settings,
    file: Option<PathBuf>,
    flags: Overrides,
    pod: Pod,
    boot: String,
    sampler: Sampler,
    pipeline: Pipeline,
    shelf: Arc<Shelf>,
    trim: Trim,
    naming: Naming,
    fleet: Fleet,
    outlets: Outlets,
    hours: Arc<Hours>,
    budget: Budget,
    /// CPU time of the thread that serves the control socket, nanoseconds.
    control_cpu: Arc<AtomicU64>,
    accounts: Accounts,
    manager: Manager,
    started: Instant,
}

/// Profiles until SIGTERM or SIGINT.
pub fn daemon(arguments: &DaemonArguments) -> Result<u8, Failure> {
    let flags = settings::of_daemon(arguments);
    let loaded = settings::load_all(arguments.config.as_deref(), flags.clone())?;
    for warning in settings::warnings(&loaded) {
        warn!("{warning}");
    }
    settings::dsns(&loaded)?;
    if !crate::doctor::may_trace() {
        warn!(
            "CAP_SYS_PTRACE is not held: only processes of the agent's own user can be profiled, and of those only what the machine allows."
        );
    }
    let signals = startup::block_signals()?;
    startup::raise_descriptor_limit();
    startup::bound_real_time();
    let heartbeat = startup::start_watchdog()?;
    let debuginfod = settings::debuginfod(&loaded.settings)?;
    let (naming, naming_thread) =
        Naming::start(symbolizer::Settings::default(), Patience::Background, debuginfod.as_ref())?;
    naming.pace(loaded.settings.budget.host_cpu.share());
    let shelf = Arc::new(Shelf::new(loaded.settings.budget.memory.0));
    let hours = Arc::new(Hours::open(&settings::state_folder(&loaded.settings)));
    let keep = Keep { chunks: true, recording: false, whole: false };
    let pipeline = Pipeline::start(keep, naming.clone(), Arc::clone(&shelf), Arc::clone(&hours))?;
    let sampler = Sampler::start(settings::sampling(&loaded.settings), heartbeat, pipeline.sink())?;
    let socket = config::control_socket(&loaded.settings);
    let asks = control::start(&socket, loaded.settings.daemon.metrics, Arc::clone(&shelf))?;
    let mut daemon = Daemon {
        file: arguments.config.clone(),
        flags,
        pod: Pod::read(&loaded.settings.daemon.pod_info),
        boot: verdict::boot_id(),
        sampler,
        pipeline,
        shelf,
        trim: Trim::default(),
        naming,
        fleet: Fleet::new(),
        outlets: Outlets::default(),
        hours,
        control_cpu: Arc::clone(&asks.cpu),
        budget: Budget::new(conduct::limits(&loaded.settings)),
        accounts: Accounts::default(),
        manager: Manager::new(),
        started: Instant::now(),
        running: loaded.settings.clone(),
        loaded,
    };
    info!(socket = %socket.display(), targets = daemon.loaded.settings.targets.len(), "Started.");
    daemon.outlets.resume(&daemon.loaded, &daemon.naming);
    let all = daemon.fleet.all();
    daemon.consider(&all);
    daemon.manager.ready();
    daemon.run(&signals, &asks);
    daemon.end();
    drop(naming_thread.join());
    drop(std::fs::remove_file(&socket));
    Ok(0)
}

impl Daemon {
    fn run(&mut self, signals: &Signals, asks: &Asks) {
        let mut next_second = Instant::now() + SECOND;
        loop {
            let timeout = PollTimeout::try_from(LOOK_EVERY).unwrap_or(PollTimeout::ZERO);
            let mut polled =
                [PollFd::new(signals.0.as_fd(), PollFlags::POLLIN), PollFd::new(asks.bell.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut polled, timeout);
            match signals.0.read_signal() {
                Ok(Some(signal)) if i32::try_from(signal.ssi_signo) == Ok(Signal::SIGHUP as i32) => {
                    if let Err(error) = self.reload() {
                        warn!(error = %error.error, "The settings are as before.");
                    }
                }
                Ok(Some(signal)) if i32::try_from(signal.ssi_signo) == Ok(Signal::SIGTSTP as i32) => {}
                Ok(Some(_)) => return,
                _ => {}
            }
            let _ = asks.bell.read();
            while let Ok(ask) = asks.asks.try_recv() {
                self.answer(ask);
            }
            self.look();
            if next_second <= Instant::now() {
                next_second = Instant::now() + SECOND;
                self.second();
            }
            self.manager.alive();
        }
    }

    /// Lets everybody go, builds the last chunks and sends what can be sent.
    fn end(self) {
        self.manager.stopping();
        let Self { sampler, pipeline, naming, outlets, hours, loaded, .. } = self;
        drop(sampler);
        drop(pipeline.finish());
        drop(naming);
        outlets.drain(loaded.settings.shipping.drain.0);
        hours.save();
        info!("Ended.");
    }
}
