//! CPU time of the calling thread as criterion's measure: other programs on the machine count less than by the clock.

use std::time::Duration;

use criterion::{
    Throughput,
    measurement::{Measurement, ValueFormatter},
};
use nix::time::{ClockId, clock_gettime};

/// `CLOCK_THREAD_CPUTIME_ID`.
#[derive(Clone, Copy, Debug)]
pub struct ThreadCpu;

impl ThreadCpu {
    fn now() -> Duration {
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
    }

    /// What `work` takes.
    pub fn time<T>(work: impl FnOnce() -> T) -> Duration {
        let start = Self::now();
        std::hint::black_box(work());
        Self::now().saturating_sub(start)
    }
}

impl Measurement for ThreadCpu {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Self::now()
    }

    fn end(&self, start: Duration) -> Duration {
        Self::now().saturating_sub(start)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_secs_f64() * 1e9
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &PerFrame
    }
}

struct PerFrame;

impl ValueFormatter for PerFrame {
    fn scale_values(&self, _: f64, values: &mut [f64]) -> &'static str {
        values.iter_mut().for_each(|value| *value /= 1e6);
        "ms"
    }

    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    fn scale_throughputs(&self, _: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        let Throughput::Elements(frames) = throughput else { return "?" };
        values.iter_mut().for_each(|value| *value /= *frames as f64);
        "ns/frame"
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "ns"
    }
}
