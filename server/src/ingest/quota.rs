//! How many items of a kind a project may send in a minute. A fixed minute, not a sliding one: at worst twice as much in a
//! moment, and SDKs are told a time that is right.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::answer::Limit;
use crate::settings::Project;

const MINUTE_US: u64 = 60_000_000;

/// All quotas.
#[derive(Debug)]
pub(super) struct Quotas {
    per_minute: HashMap<u64, u32>,
    used: Mutex<HashMap<(u64, &'static str), Used>>,
}

#[derive(Debug, Default)]
struct Used {
    minute: u64,
    many: u32,
}

impl Quotas {
    pub(super) fn new(projects: &[Project]) -> Self {
        let of = |project: &Project| Some((project.id, project.items_per_minute?));
        Self { per_minute: projects.iter().filter_map(of).collect(), used: Mutex::default() }
    }

    /// Takes one of `category`, or says for how long there is none.
    pub(super) fn take(&self, project: u64, category: &'static str, now_us: u64) -> Result<(), Limit> {
        let Some(max) = self.per_minute.get(&project) else { return Ok(()) };
        let minute = now_us / MINUTE_US;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let used = used.entry((project, category)).or_default();
        if used.minute != minute {
            *used = Used { minute, many: 0 };
        }
        if used.many >= *max {
            let left_us = (minute + 1).saturating_mul(MINUTE_US).saturating_sub(now_us);
            return Err(Limit { category, seconds: left_us.div_ceil(1_000_000) });
        }
        used.many += 1;
        Ok(())
    }
}
