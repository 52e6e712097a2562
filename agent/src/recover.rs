//! After a death: chunks are built again from the journals that it left, and named by the files on disk as far as they
//! are the same builds.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use anyhow::Context;
use object::read::ReadCache;
use profile::{
    chunk::ChunkBuilder,
    feed::Event,
    id::{Pid, Tid},
    module::Module,
};
use sampler::{
    ModuleFile, TargetId,
    modules::{Content, Root},
};
use tracing::{info, warn};
use unwinder::ElfLayout;

use crate::{
    naming::Naming,
    outlet::Outlet,
    ship::{RecoveredSession, recover},
};

/// Builds and hands over what dead agents left in `journals`. `spooled`: journals whose chunks are in the spool already.
fn recover_all(journals: &Path, spooled: &[String], naming: &Naming, outlet: &Outlet) {
    let dead = match recover(journals, spooled) {
        Ok(dead) => dead,
        Err(error) => {
            warn!(%error, "Journals of earlier runs cannot be read; they stay.");
            return;
        }
    };
    for (number, session) in (0_u32..).zip(dead) {
        // Numbers that no sampler gives out: it counts from 0.
        one(session, TargetId(u32::MAX - number), naming, outlet);
    }
}

/// The same in a thread of its own: names may take half a minute, and targets run meanwhile.
pub fn start(journals: PathBuf, naming: &Naming, outlet: &Outlet) -> anyhow::Result<JoinHandle<()>> {
    let (naming, outlet) = (naming.clone(), outlet.clone());
    let recover = move || {
        let spooled = if let Outlet::Ship(shipper) = &outlet { shipper.spooled_journals() } else { &[] };
        recover_all(&journals, spooled, &naming, &outlet);
    };
    let thread = std::thread::Builder::new().name("sp-recover".to_owned()).spawn(recover);
    thread.context("cannot start the recovery")
}

fn one(mut session: RecoveredSession, id: TargetId, naming: &Naming, outlet: &Outlet) {
    let header = &session.header;
    let (start_ns, info) = (header.start_ns, header.session.clone());
    let platform = info.platform.clone();
    let profiler = info.profiler_id;
    let mut builder = ChunkBuilder::new(info, start_ns);
    let mut last_ns = start_ns;
    for event in &mut session {
        match &event {
            Event::Tick { at_ns } => last_ns = *at_ns,
            Event::Module(index, module) => naming.module(id, *index, file_of(module)),
            Event::Stack(_, stack) => naming.prepare(id, stack.native().copied().collect()),
            _ => {}
        }
        builder.apply(&event);
    }
    let chunk = builder.close(last_ns.saturating_add(1000), &mut naming.namer(id));
    naming.gone(id);
    match chunk {
        Some(chunk) => {
            info!(%profiler, "A chunk was built again from the journal of a run that died.");
            outlet.take(chunk, Some(session.close()));
        }
        None => outlet.nothing(platform.as_str(), Some(session.close())),
    }
}

/// The module's file, if the one at its path is the same build.
fn file_of(module: &Module) -> ModuleFile {
    let own = Pid(i32::try_from(std::process::id()).unwrap_or(0));
    let root = Arc::new(Root::of(own, Tid(own.0)));
    let content =
        root.open(&module.path).filter(|file| is_build(file, module)).map(|file| Content::File(Arc::new(file)));
    ModuleFile { module: module.clone(), content: content.unwrap_or(Content::Missing), root, python: None }
}

fn is_build(file: &File, module: &Module) -> bool {
    let layout = ElfLayout::parse(&ReadCache::new(file));
    module.build_id.is_some() && layout.is_ok_and(|layout| layout.build_id == module.build_id)
}
