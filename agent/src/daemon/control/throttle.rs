//! How fast a process and a user may ask: who asks faster waits. So nobody can have us spend more than a little of a core on
//! answers, and nobody who asks honestly is refused.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::peer::{Of, Peer};

/// Requests a second of a process, of a user but root, and of all users but root, and how many may come at once. Each costs some
/// 50 us. A client asks for each transaction that is profiled.
const OF_PROCESS: Rate = Rate { each_second: 100.0, at_once: 200.0 };
const OF_USER: Rate = Rate { each_second: 400.0, at_once: 1000.0 };
const OF_ALL: Rate = Rate { each_second: 800.0, at_once: 2000.0 };
/// Those who have not asked for long are forgotten when there are so many.
const KNOWN_MAX: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Rate {
    each_second: f64,
    at_once: f64,
}

/// What is left of what may come at once; below nothing: so many wait already.
#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// All who ask.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<HashMap<Of, Bucket>>);

impl Throttle {
    /// Counts a request, and says how long it has to wait.
    pub(super) fn wait(&self, peer: Peer, now: Instant) -> Duration {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.retain(|of, bucket| bucket.left + rate(*of).each_second * since(bucket, now) < rate(*of).at_once);
        }
        let bounded = Of::each(peer).filter(|of| *of != Of::User(0));
        let waits = bounded.map(|of| {
            let Rate { each_second, at_once } = rate(of);
            let bucket = known.entry(of).or_insert(Bucket { left: at_once, at: now });
            bucket.left = (bucket.left + each_second * since(bucket, now)).min(at_once) - 1.0;
            bucket.at = now;
            Duration::from_secs_f64((-bucket.left / each_second).max(0.0))
        });
        waits.max().unwrap_or_default()
    }
}

fn rate(of: Of) -> Rate {
    match of {
        Of::Process(_) => OF_PROCESS,
        Of::User(_) => OF_USER,
        Of::All => OF_ALL,
    }
}

fn since(bucket: &Bucket, now: Instant) -> f64 {
    now.saturating_duration_since(bucket.at).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::{super::peer::tests::peer, *};

    /// Check that a process which asks as fast as it is answered is slowed down to its rate, that a user with many processes is,
    /// that root is not by others, and that who waited may ask at once again.
    #[test]
    fn slowed_down() {
        let (throttle, begin) = (Throttle::default(), Instant::now());
        let play = |asks: &mut dyn FnMut(u32) -> Peer, many: u32| {
            (0..many).fold(begin, |now, number| now + throttle.wait(asks(number), now)) - begin
        };
        let alone = play(&mut |_| peer(1, 1000), 700);
        assert!((4.9..5.1).contains(&alone.as_secs_f64()), "{alone:?}");
        let many = play(&mut |number| peer(10 + i32::try_from(number % 50).unwrap(), 1001), 3000);
        assert!((4.9..5.1).contains(&many.as_secs_f64()), "{many:?}");
        assert_eq!(play(&mut |_| peer(2, 0), 100), Duration::ZERO);
        assert_eq!(throttle.wait(peer(1, 1000), begin + Duration::from_secs(20)), Duration::ZERO);
    }

    /// Check that many processes, one after the other, do not fill our memory.
    #[test]
    fn forgotten() {
        let (throttle, begin) = (Throttle::default(), Instant::now());
        for pid in 0..20_000 {
            let _ = throttle.wait(peer(pid, 0), begin + Duration::from_millis(pid.unsigned_abs().into()));
        }
        assert!(throttle.0.lock().unwrap().len() <= KNOWN_MAX);
    }
}
