//! `sentry-profiled serve`: a store, a server in front of it, and the signal that ends both. Samples nothing.

use std::{
    fmt::Write as _,
    io::Write as _,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use config::Settings;
use server::{Project, Server, Shutdown, Trigger, projects, shutdown};

use crate::{
    about::About,
    cli::ServeArguments,
    exit::Failure,
    settings,
    ship::files::make_folder,
    startup::{self, Signals},
};

const HINT: &str = "set server.token (or SENTRY_PROFILED_TOKEN) and server.projects, or listen on 127.0.0.1";

/// Serves until a signal.
pub fn serve(arguments: &ServeArguments) -> Result<u8, Failure> {
    let settings = settings::of_serve(arguments)?;
    let listen = settings.server.listen;
    may_listen(&settings)?;
    sampler::sys::keep_freed_memory();
    let signals = startup::block_signals()?;
    startup::raise_descriptor_limit();
    let folder = settings::store_folder(&settings);
    make_folder(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let store = crate::store::open(&settings, &folder)?;
    let mut served = server::Settings::new(projects_of(&settings, &folder)?);
    served.token = settings.server.token.as_ref().map(|token| token.reveal().to_owned());
    let listener = TcpListener::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr().context("cannot tell the address")?;
    say(&served.projects, address)?;
    let (trigger, shutdown) = shutdown::pair();
    end_by_signal(signals, trigger)?;
    crate::store::retain(Arc::clone(&store), &settings)?;
    let about = About::new(&settings, address, settings.store.url.is_none().then_some(folder.as_path()));
    run(crate::store::server(served, about, &store, None), listener, shutdown)
}

fn run(server: Server, listener: TcpListener, shutdown: Shutdown) -> Result<u8, Failure> {
    server.run(listener, shutdown).map_err(|failed| Failure::Hinted(failed.into(), HINT))?;
    Ok(0)
}

/// Beyond this machine everybody could read and send.
pub(crate) fn may_listen(settings: &Settings) -> Result<(), Failure> {
    let server = &settings.server;
    let lacks = match (server.token.is_none(), server.projects.is_empty()) {
        _ if server.listen.ip().is_loopback() => return Ok(()),
        (true, _) => "a token",
        (false, true) => "projects with keys",
        (false, false) => return Ok(()),
    };
    Err(Failure::Config(anyhow::anyhow!("listening on {} needs {lacks}", server.listen), HINT))
}

fn projects_of(settings: &Settings, folder: &Path) -> Result<Vec<Project>, Failure> {
    if settings.server.projects.is_empty() {
        let made_up =
            projects::generated(folder).with_context(|| format!("cannot keep a key in {}", folder.display()))?;
        return Ok(vec![made_up]);
    }
    let mut all: Vec<Project> = Vec::new();
    for project in &settings.server.projects {
        let wrong = |what: &str| {
            let hint = "give each project a number of its own and a key of 32 hexadecimal digits";
            Err(Failure::Config(anyhow::anyhow!("server.projects: {what} of project {}", project.id), hint))
        };
        if !projects::is_key(project.key.reveal()) {
            return wrong("no key");
        }
        if all.iter().any(|other| other.id == project.id) {
            return wrong("a second mention");
        }
        let key = project.key.reveal().to_ascii_lowercase();
        let (id, name, items_per_minute) = (project.id, project.name.clone(), project.items_per_minute);
        all.push(Project { id, key, name, items_per_minute });
    }
    Ok(all)
}

/// Address and DSNs, on standard output: what one comes for.
fn say(projects: &[Project], address: SocketAddr) -> Result<(), Failure> {
    let mut text = format!("http://{address}/\n");
    for project in projects {
        let _ = writeln!(text, "{} {}", project.name, projects::dsn(project, address));
    }
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to standard output")?;
    Ok(())
}

/// Asks for the end at the first signal that means it. The thread ends with the process.
fn end_by_signal(signals: Signals, trigger: Trigger) -> anyhow::Result<()> {
    let wait = move || {
        signals.wait();
        trigger.shut_down();
    };
    std::thread::Builder::new().name("sp-signals".to_owned()).spawn(wait).context("cannot start a thread")?;
    Ok(())
}
