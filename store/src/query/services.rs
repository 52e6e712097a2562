//! Who has profiles, and the profiles themselves.

use std::collections::BTreeSet;

use profile::received::Received;
use rustc_hash::FxHashMap;

use super::{Covers, Queries, Services};
use crate::{
    chunk_store::{Damage, Grain, StoreError, Want},
    encoding,
    item::{ProjectId, Selection, Session},
    live::Piece,
};

/// Profiles of one fetch: whole ones are large.
const FETCH: usize = 4;

/// The sessions, and what is distinct of them.
pub(super) fn services(sessions: Vec<Session>) -> Services {
    fn distinct<T: Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
        all.collect::<BTreeSet<T>>().into_iter().collect()
    }
    Services {
        platforms: distinct(sessions.iter().map(|session| session.platform.clone())),
        environments: distinct(sessions.iter().map(|session| session.environment.clone())),
        releases: distinct(sessions.iter().map(|session| session.release.clone())),
        sessions,
    }
}

/// A session of which nothing is kept yet is one all the same.
pub(super) fn add_piece(sessions: &mut Vec<Session>, piece: &Piece) {
    let (head, samples) = (piece.head(), piece.part.samples);
    let is_its = |session: &&mut Session| {
        session.profiler_id == head.profiler_id
            && session.environment == head.environment
            && session.release == head.release
    };
    if let Some(session) = sessions.iter_mut().find(is_its) {
        session.last_us = session.last_us.max(head.end_us);
        session.samples = session.samples.saturating_add(samples);
        return;
    }
    sessions.push(Session {
        profiler_id: head.profiler_id,
        platform: head.platform.clone(),
        environment: head.environment.clone(),
        release: head.release.clone(),
        sdk: head.sdk.clone(),
        host: head.agent.as_ref().and_then(|agent| agent.host.clone()),
        pid: head.agent.as_ref().map(|agent| agent.pid),
        executable: head.agent.as_ref().and_then(|agent| agent.executable.clone()),
        first_us: head.start_us,
        last_us: head.end_us,
        profiles: 0,
        samples,
        bytes: 0,
    });
}

/// Profiles, whole.
pub(super) fn received(
    queries: &Queries,
    selection: &Selection,
    take: &mut dyn FnMut(ProjectId, Received) -> bool,
) -> Result<Covers, StoreError> {
    let kept = queries.store.profiles(selection)?;
    let mut heads: FxHashMap<_, _> =
        kept.into_iter().map(|kept| ((kept.head.profiler_id, Some(kept.head.chunk_id)), kept.head)).collect();
    let parts = queries.store.plan(selection, Grain::Profiles)?;
    let want = Want { symbols: true, aggregate: false, timeline: true, measurements: true };
    let mut covers = Covers::default();
    for parts in parts.chunks(FETCH) {
        for (part, sections) in parts.iter().zip(queries.store.fetch(parts, want)?) {
            let Some(head) = heads.remove(&(part.profiler_id, part.chunk_id)) else { continue };
            let decode =
                |sections| encoding::decode(head, &sections).map_err(|broken| Damage::of(part, broken.to_string()));
            match sections.and_then(decode) {
                Ok(received) => {
                    covers.count(part);
                    if !take(selection.project, received) {
                        return Ok(covers);
                    }
                }
                Err(damage) => covers.damaged.push(damage),
            }
        }
    }
    Ok(covers)
}
