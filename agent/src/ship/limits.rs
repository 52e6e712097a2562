//! Rate limits as a server tells them: `X-Sentry-Rate-Limits`, `Retry-After`, 429. Pure: what the limits are and until
//! when they hold. What becomes of the chunks meanwhile is decided by the shipper.

use std::time::{Duration, Instant, SystemTime};

/// What a bare 429 means, by the protocol.
pub const BARE_429: Duration = Duration::from_mins(1);

/// Longer limits are cut to this: a typo in a server's settings must not silence an agent for years.
pub const LIMIT_MAX: Duration = Duration::from_hours(168);

/// What Sentry bills and limits a chunk as.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Category {
    /// Chunks of every platform but the three of [`Category::ProfileChunkUi`].
    ProfileChunk,
    /// Chunks of `cocoa`, `android` and `javascript`.
    ProfileChunkUi,
}

impl Category {
    /// All that concern us.
    pub const ALL: [Self; 2] = [Self::ProfileChunk, Self::ProfileChunkUi];

    /// The category of a chunk, by its platform.
    pub fn of_platform(platform: &str) -> Self {
        match platform {
            "cocoa" | "android" | "javascript" => Self::ProfileChunkUi,
            _ => Self::ProfileChunk,
        }
    }

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProfileChunk => "profile_chunk",
            Self::ProfileChunkUi => "profile_chunk_ui",
        }
    }

    /// Whether a limit on the category `name` concerns it. The duration quotas are consumed further downstream, by the
    /// same chunks: a sender that goes on would be sending for the bin.
    fn is_named(self, name: &str) -> bool {
        match self {
            Self::ProfileChunk => matches!(name, "profile_chunk" | "profile_duration"),
            Self::ProfileChunkUi => matches!(name, "profile_chunk_ui" | "profile_duration_ui"),
        }
    }
}

/// The parts of an answer that limits are read from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    /// The HTTP status.
    pub status: u16,
    /// `X-Sentry-Rate-Limits`, several joined with a comma.
    pub rate_limits: Option<&'a str>,
    /// `Retry-After`.
    pub retry_after: Option<&'a str>,
}

/// How long chunks of `category` must wait by this answer alone, when a chunk of category `sent` was sent; `None` where
/// it says nothing about them.
///
/// `retry_after ":" [category *(";" category)] ":" scope …`, several separated by commas; no category means all;
/// categories that we don't know and fields behind are skipped. The longest one counts. Without that header, a 429
/// means `Retry-After` or 60 s for all. A 429 whose limits don't concern what was sent refused it all the same: for that
/// category it counts as bare, or else the chunk would be sent again at once, for ever.
pub fn told(answer: Headers<'_>, category: Category, sent: Option<Category>, now: SystemTime) -> Option<Duration> {
    let concerning = answer.rate_limits.and_then(|text| {
        text.split(',').filter_map(|limit| parse_limit(limit, category)).max().filter(|wait| !wait.is_zero())
    });
    match concerning {
        Some(wait) => Some(wait),
        None if answer.status == 429 && (answer.rate_limits.is_none() || Some(category) == sent) => {
            let after = answer.retry_after.and_then(|text| retry_after(text, now));
            Some(after.filter(|wait| !wait.is_zero()).unwrap_or(BARE_429))
        }
        None => None,
    }
}

/// One limit of the header, if it concerns `category`.
fn parse_limit(limit: &str, category: Category) -> Option<Duration> {
    let mut fields = limit.split(':').map(str::trim);
    let seconds = fields.next().filter(|seconds| !seconds.is_empty())?;
    let categories = fields.next().unwrap_or("");
    let concerns = categories.is_empty() || categories.split(';').any(|name| category.is_named(name.trim()));
    // A number that nobody can read still says "there is a limit": the protocol's default then.
    concerns.then(|| parse_seconds(seconds).unwrap_or(BARE_429))
}

/// `Retry-After` in either of its forms: seconds, or a date.
pub fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    parse_seconds(text).or_else(|| {
        let until = httpdate::parse_http_date(text).ok()?;
        Some(until.duration_since(now).unwrap_or_default().min(LIMIT_MAX))
    })
}

/// Whole or broken seconds, rounded up, never below 0, never above [`LIMIT_MAX`].
fn parse_seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    if seconds.is_nan() {
        return None;
    }
    let capped = seconds.ceil().clamp(0.0, LIMIT_MAX.as_secs_f64());
    Some(Duration::from_secs_f64(capped))
}

/// The limits that hold now, for one DSN.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    chunk: Option<Instant>,
    chunk_ui: Option<Instant>,
}

impl Limits {
    /// Takes in the answer to a chunk of category `sent`. A later deadline replaces an earlier one, never the other way.
    pub fn learn(&mut self, answer: Headers<'_>, sent: Option<Category>, wall: SystemTime, now: Instant) {
        for category in Category::ALL {
            if let Some(until) = told(answer, category, sent, wall).and_then(|wait| now.checked_add(wait)) {
                self.extend(category, until);
            }
        }
    }

    /// Makes chunks of `category` wait at least until then.
    pub fn extend(&mut self, category: Category, until: Instant) {
        let slot = match category {
            Category::ProfileChunk => &mut self.chunk,
            Category::ProfileChunkUi => &mut self.chunk_ui,
        };
        *slot = (*slot).max(Some(until));
    }

    /// Until when chunks of `category` must wait; `None` if they need not.
    pub fn until(&self, category: Category, now: Instant) -> Option<Instant> {
        let until = match category {
            Category::ProfileChunk => self.chunk,
            Category::ProfileChunkUi => self.chunk_ui,
        };
        until.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer<'a>(status: u16, rate_limits: &'a str, retry_after: &'a str) -> Headers<'a> {
        let some = |text: &'a str| (!text.is_empty()).then_some(text);
        Headers { status, rate_limits: some(rate_limits), retry_after: some(retry_after) }
    }

    /// Check what each form of answer means for a backend chunk and for a UI chunk, in seconds.
    #[test]
    fn answers() {
        let now = httpdate::parse_http_date("Mon, 21 Sep 2026 15:06:41 GMT").unwrap();
        let seconds =
            |answer, category| told(answer, category, Some(Category::ProfileChunk), now).map(|wait| wait.as_secs());
        let table = [
            // No limits.
            (answer(200, "", ""), None, None),
            (answer(200, "", "120"), None, None),
            (answer(503, "", "120"), None, None),
            // 429, bare, with seconds, with a date, with nonsense.
            (answer(429, "", ""), Some(60), Some(60)),
            (answer(429, "", "17"), Some(17), Some(17)),
            (answer(429, "", "16.2"), Some(17), Some(17)),
            (answer(429, "", "Mon, 21 Sep 2026 15:08:41 GMT"), Some(120), Some(120)),
            (answer(429, "", "Mon, 21 Sep 2026 15:00:00 GMT"), Some(60), Some(60)),
            (answer(429, "", "soon"), Some(60), Some(60)),
            (answer(429, "", "0"), Some(60), Some(60)),
            // The header, on any status.
            (answer(200, "30:profile_chunk:organization", ""), Some(30), None),
            (answer(200, "30:profile_chunk_ui:organization", ""), None, Some(30)),
            (answer(200, "30:profile_duration:organization:quota", ""), Some(30), None),
            (answer(200, "30:profile_duration_ui:key", ""), None, Some(30)),
            (answer(200, "30::organization", ""), Some(30), Some(30)),
            (answer(200, "30", ""), Some(30), Some(30)),
            (answer(200, "30.2:profile_chunk", ""), Some(31), None),
            (answer(200, " 30 : error ; profile_chunk : key : why : a;b : more", ""), Some(30), None),
            (answer(200, "10:profile_chunk:key, 50:error;profile_chunk:project,20::key", ""), Some(50), Some(20)),
            (answer(200, "30:error;transaction:key", ""), None, None),
            (answer(200, "30:profile;profile_indexed;nobody_knows:key", ""), None, None),
            (answer(200, "30:metric_bucket:organization:quota:custom", ""), None, None),
            (answer(200, "x:profile_chunk:key", ""), Some(60), None),
            (answer(200, "-5:profile_chunk:key", ""), None, None),
            (answer(200, "nan:profile_chunk:key,,:,::::", ""), Some(60), None),
            (answer(200, "1e30:profile_chunk:key", ""), Some(7 * 24 * 3600), None),
            // 429 with limits for others only: refused all the same.
            (answer(429, "30:error:key", ""), Some(60), None),
            (answer(429, "30:error:key", "9"), Some(9), None),
            (answer(429, "0:profile_chunk:key", ""), Some(60), None),
            (answer(429, "400:profile_chunk:key", "9"), Some(400), None),
        ];
        for (answer, chunk, chunk_ui) in table {
            let told = (seconds(answer, Category::ProfileChunk), seconds(answer, Category::ProfileChunkUi));
            assert_eq!(told, (chunk, chunk_ui), "for {answer:?}");
        }
    }

    /// Check that a shorter limit never ends a longer one, and that limits end.
    #[test]
    fn later_deadline_wins() {
        let (wall, start) = (SystemTime::now(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut limits = Limits::default();
        let sent = Some(Category::ProfileChunk);
        limits.learn(answer(200, "100:profile_chunk:key", ""), sent, wall, start);
        limits.learn(answer(429, "10:profile_chunk:key", ""), sent, wall, at(5));
        limits.learn(answer(429, "", "3"), sent, wall, at(6));
        assert_eq!(limits.until(Category::ProfileChunk, at(99)), Some(at(100)));
        assert_eq!(limits.until(Category::ProfileChunk, at(100)), None);
        assert_eq!(limits.until(Category::ProfileChunkUi, at(7)), Some(at(9)));
    }
}
