//! pprof's `profile.proto`, gzipped: what `go tool pprof`, Grafana and others read. The messages are written out by
//! hand here (fields that we never set are left out), so that no build needs `protoc`.

use std::{
    collections::{BTreeMap, HashMap},
    io,
};

use flate2::{Compression, write::GzEncoder};
use prost::Message;

use crate::export::{Clock, Place, Track, View, view};

/// Writes a view as one profile: samples, and nanoseconds of wall-clock time (`cpu` if only what ran counts).
pub fn write(view: &View, out: &mut impl io::Write) -> io::Result<()> {
    let mut gzip = GzEncoder::new(out, Compression::default());
    io::Write::write_all(&mut gzip, &profile(view).encode_to_vec())?;
    gzip.finish().map(drop)
}

fn profile(view: &View) -> Profile {
    let mut build = Build::default();
    build.text("");
    let kind = if view.clock == Clock::Cpu { "cpu" } else { "wall" };
    build.profile.sample_type = vec![build.value_type("samples", "count"), build.value_type(kind, "nanoseconds")];
    build.profile.period_type = Some(build.value_type(kind, "nanoseconds"));
    build.profile.period = view.period_ns;
    build.profile.time_nanos = nanoseconds(view.start_us);
    build.profile.duration_nanos = nanoseconds(view.end_us.saturating_sub(view.start_us));
    // Ids are places, counted from 1.
    view.mappings.iter().for_each(|mapping| build.mapping(mapping));
    view.places.iter().for_each(|place| build.location(place));
    view.threads.iter().for_each(|thread| build.thread(view, thread));
    build.profile.string_table = build.texts.list;
    build.profile
}

fn nanoseconds(us: u64) -> i64 {
    i64::try_from(us.saturating_mul(1000)).unwrap_or(i64::MAX)
}

/// Texts by place; pprof wants the empty one first.
#[derive(Default)]
struct Texts {
    list: Vec<String>,
    places: HashMap<String, i64>,
}

/// A profile in the making.
#[derive(Default)]
struct Build {
    profile: Profile,
    texts: Texts,
    functions: HashMap<(i64, i64), u64>,
}

impl Build {
    fn text(&mut self, text: &str) -> i64 {
        if let Some(place) = self.texts.places.get(text) {
            return *place;
        }
        let place = i64::try_from(self.texts.list.len()).unwrap_or(i64::MAX);
        self.texts.list.push(text.to_owned());
        self.texts.places.insert(text.to_owned(), place);
        place
    }

    fn value_type(&mut self, kind: &str, unit: &str) -> ValueType {
        ValueType { r#type: self.text(kind), unit: self.text(unit) }
    }

    fn thread(&mut self, view: &View, thread: &Track) {
        // One sample a stack and state: a thread's runs may be a hundred times as many.
        let mut sums: BTreeMap<(usize, Option<usize>), (u64, u64)> = BTreeMap::new();
        for run in &thread.runs {
            let (ticks, us) = sums.entry((run.stack, run.state)).or_default();
            *ticks += run.ticks;
            *us += run.us();
        }
        for ((stack, state), (ticks, us)) in sums {
            let state = state.and_then(|state| view.states.get(state));
            let sample = Sample {
                location_id: view.places_of(stack).map(|place| place as u64 + 1).collect(),
                value: vec![i64::try_from(ticks).unwrap_or(i64::MAX), nanoseconds(us)],
                label: self.labels(thread, state),
            };
            self.profile.sample.push(sample);
        }
    }

    fn mapping(&mut self, mapping: &view::Mapping) {
        let mapping = Mapping {
            id: self.profile.mapping.len() as u64 + 1,
            memory_start: mapping.start,
            memory_limit: mapping.end,
            filename: self.text(&mapping.path),
            build_id: self.text(&mapping.build_id),
            has_functions: mapping.named,
            has_filenames: mapping.named,
            has_line_numbers: mapping.named,
            has_inline_frames: mapping.named,
        };
        self.profile.mapping.push(mapping);
    }

    fn location(&mut self, place: &Place) {
        let line = |frame: &view::Shown| Line {
            function_id: self.function(&frame.name, frame.path.as_deref().or(frame.file.as_deref())),
            line: frame.line.map_or(0, i64::from),
        };
        let line = place.frames.iter().map(line).collect();
        let location = Location {
            id: self.profile.location.len() as u64 + 1,
            mapping_id: place.mapping.map_or(0, |mapping| mapping as u64 + 1),
            address: place.address,
            line,
        };
        self.profile.location.push(location);
    }

    fn function(&mut self, name: &str, file: Option<&str>) -> u64 {
        let (name, filename) = (self.text(name), self.text(file.unwrap_or_default()));
        *self.functions.entry((name, filename)).or_insert_with(|| {
            let id = self.profile.function.len() as u64 + 1;
            self.profile.function.push(Function { id, name, system_name: name, filename });
            id
        })
    }

    fn labels(&mut self, thread: &Track, state: Option<&(String, Option<String>)>) -> Vec<Label> {
        let mut list = Vec::new();
        list.extend(thread.name.as_ref().map(|name| self.label("thread", name)));
        list.extend(thread.id.as_ref().map(|id| match id.parse() {
            Ok(num) => Label { key: self.text("thread_id"), num, ..Label::default() },
            Err(_) => self.label("thread_id", id),
        }));
        list.extend(thread.pid.map(|pid| Label { key: self.text("pid"), num: pid.into(), ..Label::default() }));
        if let Some((state, gil)) = state {
            list.push(self.label("state", state));
            list.extend(gil.as_ref().map(|gil| self.label("gil", gil)));
        }
        list
    }

    fn label(&mut self, key: &str, what: &str) -> Label {
        Label { key: self.text(key), str: self.text(what), ..Label::default() }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    str: i64,
    #[prost(int64, tag = "3")]
    num: i64,
}

#[derive(Clone, PartialEq, Message)]
#[allow(clippy::struct_excessive_bools, reason = "as in profile.proto")]
struct Mapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    memory_start: u64,
    #[prost(uint64, tag = "3")]
    memory_limit: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
    #[prost(int64, tag = "6")]
    build_id: i64,
    #[prost(bool, tag = "7")]
    has_functions: bool,
    #[prost(bool, tag = "8")]
    has_filenames: bool,
    #[prost(bool, tag = "9")]
    has_line_numbers: bool,
    #[prost(bool, tag = "10")]
    has_inline_frames: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    #[prost(uint64, tag = "3")]
    address: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

#[cfg(test)]
mod tests {
    use std::{fmt::Write as _, io::Read as _};

    use super::*;
    use crate::{export::testing::recorded_of, thread::Filter};

    /// The file, decompressed and decoded again, as `pprof -raw` shows it.
    fn raw(filter: Filter) -> String {
        let mut file = Vec::new();
        write(&View::of_recordings(&[recorded_of(filter)]), &mut file).unwrap();
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(file.as_slice()).read_to_end(&mut bytes).unwrap();
        let profile = Profile::decode(bytes.as_slice()).unwrap();
        let text = |place: i64| profile.string_table[usize::try_from(place).unwrap()].as_str();
        let kind = |kind: &ValueType| format!("{}/{}", text(kind.r#type), text(kind.unit));
        let mut out = String::new();
        let types: Vec<_> = profile.sample_type.iter().map(kind).collect();
        let period = kind(profile.period_type.as_ref().unwrap());
        writeln!(out, "{} period {} {period}", types.join(" "), profile.period).unwrap();
        writeln!(out, "time {} duration {}", profile.time_nanos, profile.duration_nanos).unwrap();
        for sample in &profile.sample {
            let label = |label: &Label| match label.str {
                0 => format!("{}={}", text(label.key), label.num),
                place => format!("{}={}", text(label.key), text(place)),
            };
            let labels: Vec<_> = sample.label.iter().map(label).collect();
            writeln!(out, "{:?} {:?} {}", sample.value, sample.location_id, labels.join(" ")).unwrap();
        }
        for location in &profile.location {
            let line = |line: &Line| {
                let function = profile.function.iter().find(|function| function.id == line.function_id).unwrap();
                format!("{} {}:{}", text(function.name), text(function.filename), line.line)
            };
            let lines: Vec<_> = location.line.iter().map(line).collect();
            writeln!(out, "{}: {:#x} M={} {}", location.id, location.address, location.mapping_id, lines.join(" < "))
                .unwrap();
        }
        for mapping in &profile.mapping {
            let (start, limit) = (mapping.memory_start, mapping.memory_limit);
            writeln!(
                out,
                "M{}: {start:#x}-{limit:#x} {} {} {}",
                mapping.id,
                text(mapping.filename),
                text(mapping.build_id),
                if mapping.has_functions { "[FN]" } else { "" },
            )
            .unwrap();
        }
        out
    }

    /// Check the whole profile.
    #[test]
    fn all_threads() {
        insta::assert_snapshot!(raw(Filter::All), @r#"
        samples/count wall/nanoseconds period 10000000 wall/nanoseconds
        time 1790000000000000000 duration 60000000
        [3, 30000000] [1, 2, 3] thread=sorter thread_id=10 pid=10 state=on_cpu
        [1, 10000000] [4, 2, 3] thread=sorter thread_id=10 pid=10 state=on_cpu
        [1, 10000000] [5, 3] thread=sorter thread_id=10 pid=10 state=sleeping: futex
        [3, 40000000] [5, 3] thread=pool; 1 thread_id=11 pid=10 state=sleeping: futex
        [3, 30000000] [1, 6] thread_id=12 pid=10 state=runnable
        1: 0x1030 M=1 compare /src/acme/compare.h:5 < merge /src/acme/sort.cc:77
        2: 0x101f M=1 sort(int*; int*) /src/acme/sort.cc:40
        3: 0x100f M=1 main /src/acme/main.cc:12
        4: 0x1020 M=1 sort(int*; int*) /src/acme/sort.cc:40
        5: 0x8123 M=2 libpool.so.1+0x123 :0
        6: 0x0 M=0 [truncated: beyond_copy] :0
        M1: 0x1000-0x2000 /opt/acme/sorter abababababababababababababababababababab [FN]
        M2: 0x8000-0x9000 /usr/lib/libpool.so.1
        "#);
    }

    /// Check that only what ran is left, as CPU time.
    #[test]
    fn on_cpu() {
        let text = raw(Filter::OnCpu);
        insta::assert_snapshot!(text.lines().take(4).collect::<Vec<_>>().join("\n"), @r#"
        samples/count cpu/nanoseconds period 10000000 cpu/nanoseconds
        time 1790000000000000000 duration 60000000
        [3, 30000000] [1, 2, 3] thread=sorter thread_id=10 pid=10 state=on_cpu
        [1, 10000000] [4, 2, 3] thread=sorter thread_id=10 pid=10 state=on_cpu
        "#);
    }
}
