//! The section of the series of numbers beside the samples.

use std::collections::BTreeMap;

use profile::received::Measurement;

use super::bytes::{Broken, Reader, Writer, unpack, unzigzag, zigzag};

/// More series are refused.
const SERIES_MAX: usize = 4096;
/// More values of a series are refused.
const VALUES_MAX: usize = 4 << 20;

/// The section; empty where there are none. `None`: too large to be kept.
pub fn encode(measurements: &BTreeMap<String, Measurement>) -> Option<Vec<u8>> {
    if measurements.is_empty() {
        return Some(Vec::new());
    }
    let mut writer = Writer::default();
    writer.number(measurements.len() as u64);
    for (name, series) in measurements {
        writer.raw(name.as_bytes());
        writer.raw(series.unit.as_bytes());
        writer.number(series.values.len() as u64);
        let mut before = 0_u64;
        let steps: Vec<u64> = series
            .values
            .iter()
            .map(|(at, _)| zigzag(at.wrapping_sub(std::mem::replace(&mut before, *at)).cast_signed()))
            .collect();
        writer.column(steps.iter().copied());
        writer.column(series.values.iter().map(|(_, value)| value.to_bits()));
    }
    writer.pack()
}

/// Reads the section.
pub fn decode(section: &[u8]) -> Result<BTreeMap<String, Measurement>, Broken> {
    let mut measurements = BTreeMap::new();
    if section.is_empty() {
        return Ok(measurements);
    }
    let bytes = unpack(section)?;
    let mut reader = Reader::new(&bytes);
    for _ in 0..reader.count(SERIES_MAX, "series")? {
        let name = text(&mut reader)?;
        let unit = text(&mut reader)?;
        let count = reader.count(VALUES_MAX, "values")?;
        let mut at = 0_u64;
        let times = reader.column(count)?.into_iter().map(|step| {
            at = at.wrapping_add(unzigzag(step).cast_unsigned());
            at
        });
        let times: Vec<u64> = times.collect();
        let values = reader.column(count)?.into_iter().map(f64::from_bits);
        measurements.insert(name, Measurement { unit, values: times.into_iter().zip(values).collect() });
    }
    reader.end()?;
    Ok(measurements)
}

fn text(reader: &mut Reader<'_>) -> Result<String, Broken> {
    str::from_utf8(reader.raw()?).map(str::to_owned).map_err(|_| Broken::Text)
}
