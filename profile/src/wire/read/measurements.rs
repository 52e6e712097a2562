//! Series of numbers beside the samples, of both formats.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::value::RawValue;

use super::{
    super::{
        limits::{MEASUREMENTS_MAX, TIME_MAX},
        refusal::Refusal,
    },
    text::{Scalar, Text},
    time::Seconds,
};
use crate::received;

/// All series by name; `R` is a number with its time.
pub(super) type Wire<'a, R> = HashMap<Text<'a>, Series<R>>;

/// One series.
#[derive(Deserialize, Debug)]
pub(super) struct Series<R> {
    unit: Unit,
    values: Vec<R>,
}

/// The units that Relay knows, by both of their names.
#[derive(Deserialize, Clone, Copy, Debug)]
#[serde(rename_all = "lowercase")]
enum Unit {
    #[serde(alias = "ns")]
    Nanosecond,
    #[serde(alias = "hz")]
    Hertz,
    Byte,
    Percent,
    #[serde(alias = "nj")]
    Nanojoule,
}

/// Of format v2.
#[derive(Deserialize, Debug)]
pub(super) struct V2 {
    #[serde(deserialize_with = "finite")]
    timestamp: f64,
    #[serde(deserialize_with = "finite")]
    value: f64,
}

/// Of format v1.
#[derive(Deserialize, Debug)]
pub(super) struct V1 {
    #[serde(deserialize_with = "super::samples::unsigned")]
    elapsed_since_start_ns: u64,
    #[serde(deserialize_with = "finite")]
    value: f64,
}

/// Those of a chunk.
pub(super) fn of_chunk(wire: Wire<'_, V2>) -> Result<BTreeMap<String, received::Measurement>, Refusal> {
    received(wire, |values| {
        let milliseconds_at = epoch_of_milliseconds(values);
        values.iter().filter_map(|reading| Some((at_us(reading.timestamp, milliseconds_at)?, reading.value))).collect()
    })
}

/// Those of a v1 profile that starts at `start_us`. What is malformed is no reason to lose one: Relay does not look at them.
pub(super) fn of_profile(key: &RawValue, start_us: u64) -> Result<BTreeMap<String, received::Measurement>, Refusal> {
    let wire = serde_json::from_str::<Wire<'_, V1>>(key.get()).unwrap_or_default();
    received(wire, |values| {
        let at = |reading: &V1| start_us.saturating_add(reading.elapsed_since_start_ns / 1000);
        values.iter().map(|reading| (at(reading), reading.value)).collect()
    })
}

fn received<R>(
    wire: Wire<'_, R>,
    values: impl Fn(&[R]) -> Vec<(u64, f64)>,
) -> Result<BTreeMap<String, received::Measurement>, Refusal> {
    if wire.len() > MEASUREMENTS_MAX {
        return Err(Refusal::TooMany { what: "measurements", max: MEASUREMENTS_MAX });
    }
    let series = wire.into_iter().map(|(name, series)| {
        let mut values = values(&series.values);
        values.sort_by_key(|(at, _)| *at);
        (name.owned(), received::Measurement { unit: series.unit.name().to_owned(), values })
    });
    Ok(series.collect())
}

/// Node writes times as the start of the profile in *milliseconds* since 1970 plus the *seconds* since then
/// (`1795745238730.117` is 117 ms after it). The start, if so: the whole part of the first, since Node measures each 100 ms.
fn epoch_of_milliseconds(values: &[V2]) -> Option<f64> {
    let first = values.iter().map(|reading| reading.timestamp).fold(f64::MAX, f64::min);
    (TIME_MAX..=TIME_MAX * 1000.0).contains(&first).then(|| first.floor())
}

fn at_us(timestamp: f64, milliseconds_at: Option<f64>) -> Option<u64> {
    let seconds = match milliseconds_at {
        Some(start) => start / 1000.0 + (timestamp - start),
        None => timestamp,
    };
    (0.0..=TIME_MAX).contains(&seconds).then(|| Seconds(seconds).micros())
}

fn finite<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Scalar::deserialize(from)?.number().ok_or_else(|| D::Error::custom("not a finite number"))
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Nanosecond => "nanosecond",
            Self::Hertz => "hertz",
            Self::Byte => "byte",
            Self::Percent => "percent",
            Self::Nanojoule => "nanojoule",
        }
    }
}
