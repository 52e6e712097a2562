//! Profile hours: how long processes were profiled this month, as a Sentry server bills it, and how much of that nothing ran.
//! Kept in a file, so that a restart forgets nothing. Decides nothing.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{clocks, ship::files};

/// What a chunk was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Something ran, and it was sent or kept.
    Busy,
    /// Nothing ran; it was sent or kept all the same.
    Idle,
    /// Nothing ran, so it was not sent.
    Skipped,
}

/// Microseconds of a calendar month (UTC).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Month {
    /// Year times twelve and the month from 0.
    pub number: u32,
    /// Something ran.
    pub busy_us: u64,
    /// Nothing ran, and it was sent.
    pub idle_us: u64,
    /// Nothing ran, and it was not.
    pub skipped_us: u64,
}

impl Month {
    /// What a server bills.
    pub fn billed_us(&self) -> u64 {
        self.busy_us.saturating_add(self.idle_us)
    }
}

/// So many months are kept: a clock that is wrong for a moment, as at the start of a machine without a battery, must not have us
/// forget the month that it is.
const MONTHS_MAX: usize = 12;

/// The counts by month.
#[derive(Debug, Default)]
pub struct Hours {
    /// `None`: they are not kept.
    file: Option<PathBuf>,
    months: Mutex<BTreeMap<u32, Month>>,
}

impl Hours {
    /// Those of a state folder.
    pub fn open(state: &Path) -> Self {
        let file = state.join("hours.json");
        let months = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { file: Some(file), months: Mutex::new(months.unwrap_or_default()) }
    }

    /// A chunk spanned this long.
    pub fn count(&self, span_us: u64, kind: Kind) {
        let mut months = self.months.lock().unwrap_or_else(PoisonError::into_inner);
        let month = this_month(&mut months, clocks::now().unix_ns);
        let sum = match kind {
            Kind::Busy => &mut month.busy_us,
            Kind::Idle => &mut month.idle_us,
            Kind::Skipped => &mut month.skipped_us,
        };
        *sum = sum.saturating_add(span_us);
    }

    /// The month so far.
    pub fn month(&self) -> Month {
        let mut months = self.months.lock().unwrap_or_else(PoisonError::into_inner);
        *this_month(&mut months, clocks::now().unix_ns)
    }

    /// Writes them to their file.
    pub fn save(&self) {
        let Some(file) = &self.file else { return };
        let months = self.months.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let part = file.with_extension(files::PART);
        let saved = serde_json::to_vec(&months).map_err(std::io::Error::from).and_then(|bytes| {
            if let Some(folder) = file.parent() {
                files::make_folder(folder)?;
            }
            std::fs::write(&part, bytes)?;
            std::fs::rename(&part, file)
        });
        if let Err(error) = saved {
            warn!(%error, file = %file.display(), "The profile hours of this month cannot be written.");
        }
    }
}

/// The counts of the month of a moment. Where there are too many months, the earliest goes.
fn this_month(months: &mut BTreeMap<u32, Month>, unix_ns: u64) -> &mut Month {
    let number = month_of(unix_ns / 1_000_000_000);
    if months.len() >= MONTHS_MAX && !months.contains_key(&number) {
        months.pop_first();
    }
    months.entry(number).or_insert(Month { number, ..Month::default() })
}

/// The month of a time (seconds since 1970, UTC).
fn month_of(unix_seconds: u64) -> u32 {
    let time = i64::try_from(unix_seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let date = time.unwrap_or_default().to_zoned(TimeZone::UTC).date();
    let (year, month) = (u32::try_from(date.year()).unwrap_or_default(), u32::try_from(date.month()).unwrap_or(1));
    year * 12 + month - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check months at their edges, leap years too.
    #[test]
    fn months() {
        let months = [0, 951_782_399, 951_782_400, 951_868_800, 1_735_689_599, 1_735_689_600, 1_795_816_800];
        let found = months.map(|at| format!("{}-{}", month_of(at) / 12, month_of(at) % 12 + 1));
        assert_eq!(found, ["1970-1", "2000-2", "2000-2", "2000-3", "2024-12", "2025-1", "2026-11"]);
    }

    /// Check that counts outlive a restart, and that those of another month do not count.
    #[test]
    fn kept() {
        let folder = tempfile::tempdir().unwrap();
        let hours = Hours::open(folder.path());
        for kind in [Kind::Busy, Kind::Idle, Kind::Skipped, Kind::Busy] {
            hours.count(60_000_000, kind);
        }
        hours.save();
        let month = Hours::open(folder.path()).month();
        assert_eq!((month.busy_us, month.idle_us, month.skipped_us), (120_000_000, 60_000_000, 60_000_000));
        assert_eq!(month.billed_us(), 180_000_000);
        let old = BTreeMap::from([(1, Month { number: 1, busy_us: 5, ..Month::default() })]);
        std::fs::write(folder.path().join("hours.json"), serde_json::to_vec(&old).unwrap()).unwrap();
        assert_eq!(Hours::open(folder.path()).month().busy_us, 0);
    }

    /// Check that each month counts for itself, also after the clock went wrong and right again, and that not all are kept.
    #[test]
    fn clock_goes_wrong() {
        let (now, mut months) = (1_795_816_800_000_000_000, BTreeMap::new());
        this_month(&mut months, now).busy_us = 5;
        assert_eq!(this_month(&mut months, 0).busy_us, 0);
        assert_eq!(this_month(&mut months, now).busy_us, 5);
        for month in 0..100 {
            let _ = this_month(&mut months, month * 2_700_000 * 1_000_000_000);
            assert_eq!(this_month(&mut months, now).busy_us, 5);
        }
        assert_eq!(months.len(), MONTHS_MAX);
    }
}
