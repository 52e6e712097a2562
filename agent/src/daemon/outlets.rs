//! Where the chunks of targets go: a sender for each DSN, and a store here for those that have none. Opened when the first
//! target needs it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use config::{Loaded, Secret, Settings};
use tracing::{info, warn};

use crate::{
    exit::Failure,
    local::Local,
    naming::Naming,
    outlet::Outlet,
    recover, settings,
    ship::{Dsn, ShipSettings, Shipper, Status, journal},
};

/// Each has a thread and a connection; a host has some projects.
const DSNS_MAX: usize = 64;

/// Those that are open.
#[derive(Debug, Default)]
pub(crate) struct Outlets {
    shippers: BTreeMap<String, Arc<Shipper>>,
    local: Option<Arc<Local>>,
    /// What those came to that are closed.
    past: Status,
}

/// Where a target's chunks and journals go.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    pub(crate) outlet: Outlet,
    pub(crate) journals: Option<PathBuf>,
}

impl Outlets {
    /// Opens those for whose chunks and journals an earlier agent had no time, though no target of theirs may come.
    pub(crate) fn resume(&mut self, loaded: &Loaded, naming: &Naming) {
        let settings = &loaded.settings;
        for of in settings::each_effective(loaded) {
            let left = match of.dsn.value.as_ref().map(|dsn| dsn.reveal().parse::<Dsn>()) {
                None => journal::any(&settings::journals(settings, None)),
                Some(Ok(dsn)) => settings::ship(settings, dsn).is_left(),
                Some(Err(_)) => false,
            };
            if left && let Err(error) = self.of(of.dsn.value.as_ref(), of.send_client_reports.value, settings, naming) {
                warn!(%error, "Chunks of an earlier agent cannot be sent; they stay.");
            }
        }
    }

    /// Those for a DSN, or for a target without one.
    pub(crate) fn of(
        &mut self,
        dsn: Option<&Secret>,
        reports: bool,
        settings: &Settings,
        naming: &Naming,
    ) -> anyhow::Result<Ways> {
        let Some(dsn) = dsn else { return self.local(settings, naming) };
        let dsn: Dsn = dsn.reveal().parse()?;
        let name = dsn.folder_name();
        if let Some(shipper) = self.shippers.get(&name) {
            return Ok(Ways { outlet: Outlet::Ship(Arc::clone(shipper)), journals: shipper.journals() });
        }
        if self.shippers.len() >= DSNS_MAX {
            self.close_unused();
        }
        anyhow::ensure!(
            self.shippers.len() < DSNS_MAX,
            "targets have {DSNS_MAX} other DSNs, which are all a daemon may have"
        );
        let ship = ShipSettings { client_reports: reports, ..settings::ship(settings, dsn) };
        let shipper = Arc::new(Shipper::start(ship).context("cannot ship to the target's DSN")?);
        let outlet = Outlet::Ship(Arc::clone(&shipper));
        let journals = shipper.journals();
        if let Some(journals) = journals.clone() {
            recover::start(journals, naming, &outlet)?;
        }
        self.shippers.insert(name, shipper);
        Ok(Ways { outlet, journals })
    }

    /// Closes senders that no target has any more and for which nothing waits.
    fn close_unused(&mut self) {
        let Self { shippers, past, .. } = self;
        shippers.retain(|_, shipper| {
            let status = shipper.status();
            let is_used = Arc::strong_count(shipper) > 1 || status.waiting > 0;
            if !is_used {
                add(past, Status { last_error: None, ..status });
            }
            is_used
        });
    }

    fn local(&mut self, settings: &Settings, naming: &Naming) -> anyhow::Result<Ways> {
        let journals = settings::journals(settings, None);
        let ways =
            |local: &Arc<Local>| Ways { outlet: Outlet::Keep(Arc::clone(local)), journals: Some(journals.clone()) };
        if let Some(local) = &self.local {
            return Ok(ways(local));
        }
        let local = Local::start(settings).map_err(Failure::into_error)?;
        let local = self.local.insert(Arc::new(local));
        info!(page = local.page(), "Targets without a DSN are kept here.");
        let ways = ways(local);
        recover::start(journals, naming, &ways.outlet)?;
        Ok(ways)
    }

    /// Where the page is, if there is one.
    pub(crate) fn page(&self) -> Option<String> {
        self.local.as_ref().map(|local| local.page())
    }

    /// How shipping goes, summed over the DSNs.
    pub(crate) fn status(&self) -> Status {
        let mut sum = self.past.clone();
        self.shippers.values().for_each(|shipper| add(&mut sum, shipper.status()));
        sum
    }

    /// How many DSNs the server limits for longer than is waited out: what would be sent there is thrown away.
    pub(crate) fn limited(&self) -> usize {
        self.shippers.values().filter(|shipper| shipper.paused().is_some()).count()
    }

    /// Sends what can be sent within `limit`; the rest stays for the next start. All at the same time.
    pub(crate) fn drain(&self, limit: Duration) {
        std::thread::scope(|scope| {
            for shipper in self.shippers.values() {
                scope.spawn(|| shipper.drain(limit));
            }
        });
    }
}

fn add(sum: &mut Status, status: Status) {
    sum.sent += status.sent;
    sum.waiting += status.waiting;
    sum.waiting_bytes += status.waiting_bytes;
    sum.refused += status.refused;
    sum.given_up += status.given_up;
    sum.last_error = status.last_error.or(sum.last_error.take());
}
