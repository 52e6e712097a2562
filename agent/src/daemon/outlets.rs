//! Where the chunks of targets go: a sender for each DSN, and a store here for those that have none. Opened when the first
//! target needs it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use config::{Secret, Settings};
use tracing::info;

use crate::{
    exit::Failure,
    local::Local,
    naming::Naming,
    outlet::Outlet,
    recover, settings,
    ship::{Dsn, Shipper, Status},
};

/// Each has a thread and a connection; a host has some projects.
const DSNS_MAX: usize = 64;

/// Those that are open.
#[derive(Debug)]
pub(crate) struct Outlets {
    state: PathBuf,
    shippers: BTreeMap<String, Arc<Shipper>>,
    local: Option<Arc<Local>>,
}

/// Where a target's chunks and journals go.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    pub(crate) outlet: Outlet,
    pub(crate) journals: PathBuf,
}

impl Outlets {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { state: settings::state_folder(settings), shippers: BTreeMap::new(), local: None }
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
        let journals = self.state.join("journals").join(&name);
        if let Some(shipper) = self.shippers.get(&name) {
            return Ok(Ways { outlet: Outlet::Ship(Arc::clone(shipper)), journals });
        }
        anyhow::ensure!(self.shippers.len() < DSNS_MAX, "targets have more than {DSNS_MAX} DSNs");
        let mut ship = settings::ship(settings, dsn);
        ship.journals = Some(journals.clone());
        ship.client_reports = reports;
        let shipper = Arc::new(Shipper::start(ship).context("cannot ship to the target's DSN")?);
        let outlet = Outlet::Ship(Arc::clone(&shipper));
        recover::start(journals.clone(), naming, &outlet)?;
        self.shippers.insert(name, shipper);
        Ok(Ways { outlet, journals })
    }

    fn local(&mut self, settings: &Settings, naming: &Naming) -> anyhow::Result<Ways> {
        let journals = self.state.join("journals/local");
        if let Some(local) = &self.local {
            return Ok(Ways { outlet: Outlet::Keep(Arc::clone(local)), journals });
        }
        let local = Local::start(settings).map_err(Failure::into_error)?;
        let local = self.local.insert(Arc::new(local));
        info!(page = local.page(), "Targets without a DSN are kept here.");
        let outlet = Outlet::Keep(Arc::clone(local));
        recover::start(journals.clone(), naming, &outlet)?;
        Ok(Ways { outlet, journals })
    }

    /// Where the page is, if there is one.
    pub(crate) fn page(&self) -> Option<String> {
        self.local.as_ref().map(|local| local.page())
    }

    /// How shipping goes, summed over the DSNs.
    pub(crate) fn status(&self) -> Status {
        let mut sum = Status::default();
        for shipper in self.shippers.values() {
            let status = shipper.status();
            sum.sent += status.sent;
            sum.waiting += status.waiting;
            sum.waiting_bytes += status.waiting_bytes;
            sum.refused += status.refused;
            sum.given_up += status.given_up;
            sum.last_error = status.last_error.or(sum.last_error);
        }
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
