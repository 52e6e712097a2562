//! Nearly all of a chunk is its samples, and all senders write them alike: this reads them as they are usually written, three
//! times as fast as a general reader can, and leaves the rest to it. What is written in any other way (spaces, escapes,
//! exponents, more keys) is `None`: then the general reader reads everything. So this must never read what that one would not.

use super::{
    super::limits::TIME_MAX,
    samples::{Sample, Samples, Threads, V2},
    text::Text,
};

/// The key as it stands before the array. In JSON it is a key wherever it stands: inside a string its quotes are escaped.
const KEY: &str = "\"samples\"";
/// Digits of a fraction that are looked at; more say nothing at this precision.
const FRACTION_DIGITS_MAX: usize = 9;

/// Takes the samples out, if the text has one array of them: the text with an empty array in their place, and these.
pub(super) fn lift(text: &str) -> Option<(String, Samples<'_, V2>)> {
    let start = text.find(KEY)? + KEY.len();
    let mut cursor = Cursor { text, bytes: text.as_bytes(), at: start };
    cursor.expect(b":[")?;
    let array = cursor.at;
    let samples = samples(&mut cursor)?;
    let after = text.get(cursor.at..)?;
    // Two of them: who knows which is meant.
    if samples.samples.is_empty() || after.contains(KEY) {
        return None;
    }
    let mut rest = String::with_capacity(text.len() - (cursor.at - array) + 1);
    rest.push_str(text.get(..array)?);
    rest.push(']');
    rest.push_str(after);
    Some((rest, samples))
}

fn samples<'a>(cursor: &mut Cursor<'a>) -> Option<Samples<'a, V2>> {
    let mut threads = Threads::default();
    let mut samples = Vec::new();
    loop {
        samples.push(sample(cursor, &mut threads)?);
        match cursor.next()? {
            b',' => (),
            b']' => return Some(Samples::new(samples, threads)),
            _ => return None,
        }
    }
}

/// One object with exactly its three keys, in any order.
fn sample<'a>(cursor: &mut Cursor<'a>, threads: &mut Threads<'a>) -> Option<Sample> {
    let (mut at, mut stack, mut thread) = (None, None, None);
    cursor.expect(b"{")?;
    for end in [b',', b',', b'}'] {
        match cursor.bytes.get(cursor.at..cursor.at + 4)? {
            b"\"tim" if at.is_none() => {
                cursor.expect(b"\"timestamp\":")?;
                at = Some(cursor.micros()?);
            }
            b"\"sta" if stack.is_none() => {
                cursor.expect(b"\"stack_id\":")?;
                stack = Some(cursor.index()?);
            }
            b"\"thr" if thread.is_none() => {
                cursor.expect(b"\"thread_id\":\"")?;
                thread = Some(cursor.thread(threads)?);
            }
            _ => return None,
        }
        if cursor.next()? != end {
            return None;
        }
    }
    Some(Sample { at: at?, stack: stack?, thread: thread? })
}

struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn next(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at += 1;
        byte
    }

    fn expect(&mut self, what: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(what).then(|| self.at += what.len())
    }

    /// Digits, at most `max`, as a number, and how many there were. None at all is no number.
    fn digits(&mut self, max: usize) -> Option<(u64, usize)> {
        let from = self.at;
        let mut number = 0_u64;
        while let Some(digit) = self.bytes.get(self.at).filter(|byte| byte.is_ascii_digit()) {
            if self.at - from == max {
                return None;
            }
            number = number * 10 + u64::from(digit - b'0');
            self.at += 1;
        }
        // JSON has no leading zeros.
        let many = self.at - from;
        (many > 0).then_some((number, many))
    }

    /// A whole number as JSON has it.
    fn whole(&mut self) -> Option<u64> {
        let zero = self.bytes.get(self.at) == Some(&b'0');
        let (number, many) = self.digits(10)?;
        (!zero || many == 1).then_some(number)
    }

    fn index(&mut self) -> Option<u32> {
        u32::try_from(self.whole()?).ok()
    }

    /// Seconds to microseconds, without going through a float.
    fn micros(&mut self) -> Option<u64> {
        let seconds = self.whole()?;
        #[allow(clippy::cast_precision_loss, reason = "at most ten digits")]
        if seconds as f64 >= TIME_MAX {
            return None;
        }
        let mut fraction = 0;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            let (number, many) = self.digits(FRACTION_DIGITS_MAX)?;
            let nanos = number * 10_u64.pow(u32::try_from(FRACTION_DIGITS_MAX - many).ok()?);
            fraction = (nanos + 500) / 1000;
        }
        Some(seconds * 1_000_000 + fraction)
    }

    /// The thread whose id stands here, up to its quote.
    fn thread(&mut self, threads: &mut Threads<'a>) -> Option<u32> {
        let rest = self.bytes.get(self.at..)?;
        if let Some((guess, id)) = threads.guess()
            && rest.starts_with(id.as_bytes())
            && rest.get(id.len()) == Some(&b'"')
        {
            self.at += id.len() + 1;
            threads.came(guess);
            return Some(guess);
        }
        let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        if rest.get(end) != Some(&b'"') {
            return None;
        }
        let id = self.text.get(self.at..self.at + end)?;
        self.at += end + 1;
        threads.find(Text(id.into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn general(text: &str) -> Option<Vec<(u64, u32, String)>> {
        let samples: Samples<'_, V2> = serde_json::from_str(text).ok()?;
        Some(rows(&samples))
    }

    fn rows(samples: &Samples<'_, V2>) -> Vec<(u64, u32, String)> {
        let id = |thread: u32| samples.threads[thread as usize].0.clone().into_owned();
        samples.samples.iter().map(|sample| (sample.at, sample.stack, id(sample.thread))).collect()
    }

    fn lifted(array: &str) -> Option<Vec<(u64, u32, String)>> {
        let text = format!("{{\"a\":{{\"samples\":{array},\"b\":1}}}}");
        let (rest, samples) = lift(&text)?;
        assert_eq!(rest, "{\"a\":{\"samples\":[],\"b\":1}}");
        Some(rows(&samples))
    }

    /// Check what is read here, and what is left to the general reader.
    #[test]
    fn what_is_read() {
        let of = |timestamp: &str, stack: &str, thread: &str| {
            lifted(&format!(r#"[{{"timestamp":{timestamp},"thread_id":{thread},"stack_id":{stack}}}]"#))
        };
        assert_eq!(of("1790000000.1234567", "7", "\"é\""), Some(vec![(1_790_000_000_123_457, 7, "é".to_owned())]));
        assert_eq!(of("0", "0", "\"\""), Some(vec![(0, 0, String::new())]));
        for timestamp in ["-1", "01", "1.", ".5", "1e3", "1.5e3", "99999999999", "\"1\"", "null", "1.0123456789"] {
            assert_eq!(of(timestamp, "0", "\"1\""), None, "{timestamp}");
        }
        for stack in ["-1", "00", "1.0", "4294967296", "\"1\""] {
            assert_eq!(of("1", stack, "\"1\""), None, "{stack}");
        }
        for thread in ["1", "\"\\u0031\"", "\"\u{1}\"", "\"1"] {
            assert_eq!(of("1", "0", thread), None, "{thread}");
        }
        let row = r#"{"timestamp":1,"stack_id":0,"thread_id":"1"}"#;
        let others = [
            "[]",
            "[",
            "[{}]",
            &format!("[{row},]"),
            &format!("[{row}"),
            &format!("[{row} ]"),
            &format!("[{row},{{}}]"),
        ];
        for other in others {
            assert_eq!(lifted(other), None, "{other}");
        }
        let twice = r#"[{"timestamp":1,"timestamp":1,"thread_id":"1"}]"#;
        assert_eq!(lifted(twice), None);
        assert!(lift(&format!("{{\"samples\":[{row}],\"x\":{{\"samples\":[{row}]}}}}")).is_none());
    }

    proptest! {
        /// Check against the general reader that both read the same, whatever the bytes.
        #[test]
        fn same_as_general(
            sent in prop::collection::vec((0_u32..9_999_999, "[0-9]{1,6}", 0_u32..9, "[0-9a]{0,3}", 0_usize..6), 1..20),
            edit in prop::option::of((0_usize..400, any::<u8>())),
        ) {
            let written: Vec<String> = sent.iter().map(|(seconds, fraction, stack, thread, order)| {
                let fields = [format!("\"timestamp\":{seconds}.{fraction}"), format!("\"stack_id\":{stack}"), format!("\"thread_id\":\"{thread}\"")];
                let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
                format!("{{{}}}", orders[*order].map(|at| fields[at].clone()).join(","))
            }).collect();
            let mut array = format!("[{}]", written.join(",")).into_bytes();
            if let Some((at, byte)) = edit && at < array.len() { array[at] = byte; }
            if let Ok(array) = String::from_utf8(array) {
                let text = format!("{{\"samples\":{array}}}");
                if let Some((_, samples)) = lift(&text) {
                    #[derive(serde::Deserialize)]
                    struct Whole { samples: serde_json::Value }
                    // Only what is JSON at all counts: an edit may have closed the array early.
                    if let Ok(whole) = serde_json::from_str::<Whole>(&text) {
                        prop_assert_eq!(Some(rows(&samples)), general(&whole.samples.to_string()));
                    }
                } else {
                    prop_assert!(edit.is_some(), "not read: {array}");
                }
            }
        }
    }
}
