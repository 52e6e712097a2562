//! The samples of either format, as a flat table: sixteen bytes each, however they are written. Which thread a sample is of
//! is found without hashing where threads come in the same order tick after tick, as senders write them.

use std::{collections::HashMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

use super::{
    super::limits::THREADS_MAX,
    text::{Scalar, Text},
    time::Seconds,
};

/// A sample as sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Microseconds since 1970; in v1 nanoseconds since the profile's start.
    pub(super) at: u64,
    /// Index into the stacks, if it is in range.
    pub(super) stack: u32,
    /// Index into the thread ids.
    pub(super) thread: u32,
}

/// All samples as sent, in the order in which they were.
#[derive(Debug)]
pub(super) struct Samples<'a, F> {
    pub(super) samples: Vec<Sample>,
    /// Distinct thread ids, by first appearance.
    pub(super) threads: Vec<Text<'a>>,
    pub(super) too_many: bool,
    format: PhantomData<F>,
}

impl<'a, F> Samples<'a, F> {
    /// Those, of these threads.
    pub(super) fn new(samples: Vec<Sample>, threads: Threads<'a>) -> Self {
        Self { samples, threads: threads.ids, too_many: false, format: PhantomData }
    }
}

/// One of the formats.
pub(super) trait Format {
    /// Its samples.
    type Sample<'a>: Wire<'a> + Deserialize<'a>;
}

/// Sample format v1.
#[derive(Debug)]
pub(super) struct V1;

/// Sample format v2.
#[derive(Debug)]
pub(super) struct V2;

impl Format for V1 {
    type Sample<'a> = SampleV1<'a>;
}

impl Format for V2 {
    type Sample<'a> = SampleV2<'a>;
}

/// A sample of one of the formats.
pub(super) trait Wire<'a> {
    fn at(&self) -> u64;
    fn stack(&self) -> u64;
    fn thread(self) -> Text<'a>;
}

#[derive(Deserialize)]
pub(super) struct SampleV2<'a> {
    timestamp: Seconds,
    stack_id: u64,
    #[serde(borrow)]
    thread_id: Text<'a>,
}

/// Numbers may be strings.
#[derive(Deserialize)]
pub(super) struct SampleV1<'a> {
    #[serde(deserialize_with = "unsigned")]
    elapsed_since_start_ns: u64,
    stack_id: u64,
    #[serde(borrow)]
    thread_id: Scalar<'a>,
}

impl<'a> Wire<'a> for SampleV2<'a> {
    fn at(&self) -> u64 {
        self.timestamp.micros()
    }

    fn stack(&self) -> u64 {
        self.stack_id
    }

    fn thread(self) -> Text<'a> {
        self.thread_id
    }
}

impl<'a> Wire<'a> for SampleV1<'a> {
    fn at(&self) -> u64 {
        self.elapsed_since_start_ns
    }

    fn stack(&self) -> u64 {
        self.stack_id
    }

    fn thread(self) -> Text<'a> {
        match self.thread_id {
            Scalar::Text(text) => text,
            number => Text(number.text().unwrap_or_default().into()),
        }
    }
}

/// A whole number that may be written as a string.
pub(super) fn unsigned<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    Scalar::deserialize(from)?.unsigned().ok_or_else(|| serde::de::Error::custom("not a whole number"))
}

/// Finds the index of a thread id.
#[derive(Default)]
pub(super) struct Threads<'a> {
    ids: Vec<Text<'a>>,
    index: HashMap<Text<'a>, u32>,
    /// For each thread the one that came after it last.
    after: Vec<u32>,
    last: usize,
}

impl<'a> Threads<'a> {
    /// The thread that most likely comes next.
    pub(super) fn guess(&self) -> Option<(u32, &str)> {
        let guess = self.after.get(self.last).copied().unwrap_or(0);
        Some((guess, self.ids.get(guess as usize)?.0.as_ref()))
    }

    /// A guess was right.
    pub(super) fn came(&mut self, thread: u32) {
        self.last = thread as usize;
    }

    /// `None`: too many.
    pub(super) fn find(&mut self, id: Text<'a>) -> Option<u32> {
        if let Some((guess, text)) = self.guess()
            && text == id.0
        {
            self.came(guess);
            return Some(guess);
        }
        let found = self.look_up(id)?;
        if let Some(after) = self.after.get_mut(self.last) {
            *after = found;
        }
        self.came(found);
        Some(found)
    }

    fn look_up(&mut self, id: Text<'a>) -> Option<u32> {
        if let Some(known) = self.index.get(&id) {
            return Some(*known);
        }
        let new = u32::try_from(self.ids.len()).ok().filter(|_| self.ids.len() < THREADS_MAX)?;
        self.ids.push(id.clone());
        self.after.push(new);
        self.index.insert(id, new);
        Some(new)
    }
}

impl<'de: 'a, 'a, F: Format> Deserialize<'de> for Samples<'a, F> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Table<F>(PhantomData<F>);
        impl<'de, F: Format> Visitor<'de> for Table<F> {
            type Value = Samples<'de, F>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of samples")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
                let mut samples = Vec::new();
                let mut threads = Threads::default();
                let mut too_many = false;
                while let Some(sample) = rows.next_element::<F::Sample<'de>>()? {
                    let at = sample.at();
                    let stack = u32::try_from(sample.stack()).unwrap_or(u32::MAX);
                    match threads.find(sample.thread()) {
                        Some(thread) => samples.push(Sample { at, stack, thread }),
                        None => too_many = true,
                    }
                }
                Ok(Samples { samples, threads: threads.ids, too_many, format: PhantomData })
            }
        }
        from.deserialize_seq(Table(PhantomData))
    }
}
