//! The *processed profile* format of profiler.firefox.com: one table of frames and stacks for all, a track a thread, each
//! sample weighted with the time that it stood. What that page knows of programs in Firefox alone is left empty.

use std::{collections::HashMap, io};

use serde::Serialize;

use crate::export::{Shown, Track, View};

/// The version that is written: the first with tables shared by all threads is 61, and the page upgrades older ones.
const PROCESSED_VERSION: u32 = 62;

/// Of the format that Firefox itself writes; the page wants to know.
const GECKO_VERSION: u32 = 24;

/// Samples of threads of unknown rate: the page wants some interval, milliseconds.
const INTERVAL_MS: f64 = 10.0;

/// Kinds of frames: name and colour. The first grey one stands for what is unknown.
const CATEGORIES: [(&str, &str); 3] = [("Other", "grey"), ("Application", "yellow"), ("Library", "blue")];

/// Writes a view, its threads in its order.
pub fn write(view: &View, out: &mut impl io::Write) -> io::Result<()> {
    let mut tables = Tables::default();
    let leaves = tables.stacks(view);
    let main = view.threads.iter().map(|thread| thread.runs.len()).enumerate().max_by_key(|(_, runs)| *runs);
    let thread = |(place, thread)| Thread::of(view, thread, place, main.map(|(main, _)| main) == Some(place), &leaves);
    let file = File {
        meta: Meta::of(view),
        libs: [],
        pages: [],
        counters: [],
        profiler_overhead: [],
        threads: view.threads.iter().enumerate().map(thread).collect(),
        shared: tables.finish(),
    };
    serde_json::to_writer(out, &file).map_err(io::Error::from)
}

/// What all threads share, in the making.
#[derive(Default)]
struct Tables<'v> {
    strings: Vec<&'v str>,
    strings_by_text: HashMap<&'v str, usize>,
    functions: Vec<Function>,
    functions_by_name: HashMap<Function, usize>,
    frames: Vec<Frame>,
    frames_by_line: HashMap<Frame, usize>,
    resources: Vec<usize>,
    resources_by_name: HashMap<usize, usize>,
    sources: Vec<usize>,
    sources_by_name: HashMap<usize, usize>,
    stack_frames: Vec<usize>,
    stack_prefixes: Vec<Option<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Function {
    name: usize,
    source: Option<usize>,
    resource: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Frame {
    function: usize,
    line: Option<u32>,
    category: usize,
    inline_depth: usize,
}

fn intern<T: Copy + Eq + std::hash::Hash>(list: &mut Vec<T>, places: &mut HashMap<T, usize>, one: T) -> usize {
    *places.entry(one).or_insert_with(|| {
        list.push(one);
        list.len() - 1
    })
}

impl<'v> Tables<'v> {
    /// The row of each stack of the view; `None`: it has no frame.
    fn stacks(&mut self, view: &'v View) -> Vec<Option<usize>> {
        let mut leaves: Vec<Option<usize>> = Vec::with_capacity(view.stacks.len());
        for entry in &view.stacks {
            let mut below = entry.parent.and_then(|parent| leaves.get(parent).copied().flatten());
            let place = entry.place.and_then(|place| view.places.get(place));
            for (depth, shown) in place.into_iter().flat_map(|place| place.frames.iter().rev().enumerate()) {
                let frame = self.frame(shown, depth);
                self.stack_frames.push(frame);
                self.stack_prefixes.push(below);
                below = Some(self.stack_frames.len() - 1);
            }
            leaves.push(below);
        }
        leaves
    }

    fn frame(&mut self, shown: &'v Shown, inline_depth: usize) -> usize {
        let name = self.string(&shown.name);
        let file = shown.path.as_ref().or(shown.file.as_ref()).map(|file| self.string(file));
        let source = file.map(|file| intern(&mut self.sources, &mut self.sources_by_name, file));
        let module = shown.module.as_ref().map(|module| self.string(module));
        let resource = module.map(|module| intern(&mut self.resources, &mut self.resources_by_name, module));
        let function = Function { name, source, resource };
        let function = intern(&mut self.functions, &mut self.functions_by_name, function);
        let category = shown.in_app.map_or(0, |in_app| if in_app { 1 } else { 2 });
        let frame = Frame { function, line: shown.line, category, inline_depth };
        intern(&mut self.frames, &mut self.frames_by_line, frame)
    }

    fn string(&mut self, text: &'v str) -> usize {
        intern(&mut self.strings, &mut self.strings_by_text, text)
    }

    fn finish(self) -> Shared<'v> {
        Shared {
            frame_table: FrameTable::of(&self.frames),
            func_table: FuncTable::of(&self.functions),
            native_symbols: NativeSymbols::default(),
            resource_table: ResourceTable::of(self.resources),
            sources: Sources::of(self.sources),
            stack_table: StackTable {
                length: self.stack_frames.len(),
                frame: self.stack_frames,
                prefix: self.stack_prefixes,
            },
            string_array: self.strings,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'v> {
    meta: Meta,
    libs: [(); 0],
    pages: [(); 0],
    counters: [(); 0],
    profiler_overhead: [(); 0],
    shared: Shared<'v>,
    threads: Vec<Thread<'v>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    product: String,
    #[serde(rename = "importedFrom")]
    imported_from: &'static str,
    interval: f64,
    start_time: f64,
    version: u32,
    preprocessed_profile_version: u32,
    process_type: u32,
    stackwalk: u32,
    symbolicated: bool,
    uses_only_one_stack_type: bool,
    source_code_is_not_on_searchfox: bool,
    sample_units: SampleUnits,
    categories: Vec<Category>,
    marker_schema: [(); 0],
    paused_ranges: [(); 0],
    platform: &'static str,
    debug: bool,
    extensions: Extensions,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SampleUnits {
    time: &'static str,
    event_delay: &'static str,
    #[serde(rename = "threadCPUDelta")]
    thread_cpu_delta: &'static str,
}

#[derive(Serialize)]
struct Category {
    name: &'static str,
    color: &'static str,
    subcategories: [&'static str; 1],
}

#[derive(Serialize)]
struct Extensions {
    length: usize,
    id: [(); 0],
    name: [(); 0],
    #[serde(rename = "baseURL")]
    base_url: [(); 0],
}

impl Meta {
    #[allow(clippy::cast_precision_loss, reason = "milliseconds since 1970 and a period")]
    fn of(view: &View) -> Self {
        let period_ms = view.period_ns as f64 / 1e6;
        Self {
            product: view.title.clone(),
            imported_from: concat!("sentry-profiled ", env!("CARGO_PKG_VERSION")),
            interval: if period_ms > 0.0 { period_ms } else { INTERVAL_MS },
            start_time: view.start_us as f64 / 1e3,
            version: GECKO_VERSION,
            preprocessed_profile_version: PROCESSED_VERSION,
            process_type: 0,
            stackwalk: 1,
            symbolicated: true,
            uses_only_one_stack_type: true,
            source_code_is_not_on_searchfox: true,
            sample_units: SampleUnits { time: "ms", event_delay: "ms", thread_cpu_delta: "ns" },
            categories: CATEGORIES
                .map(|(name, color)| Category { name, color, subcategories: ["Other"] })
                .into_iter()
                .collect(),
            marker_schema: [],
            paused_ranges: [],
            platform: "Linux",
            debug: false,
            extensions: Extensions { length: 0, id: [], name: [], base_url: [] },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shared<'v> {
    frame_table: FrameTable,
    func_table: FuncTable,
    native_symbols: NativeSymbols,
    resource_table: ResourceTable,
    sources: Sources,
    stack_table: StackTable,
    string_array: Vec<&'v str>,
}

/// A column in which every row is null.
type Nulls = Vec<Option<()>>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FrameTable {
    length: usize,
    /// -1: not an address.
    address: Vec<i64>,
    inline_depth: Vec<usize>,
    category: Vec<usize>,
    subcategory: Vec<usize>,
    func: Vec<usize>,
    native_symbol: Nulls,
    #[serde(rename = "innerWindowID")]
    inner_window_id: Vec<usize>,
    line: Vec<Option<u32>>,
    column: Nulls,
}

impl FrameTable {
    fn of(frames: &[Frame]) -> Self {
        let length = frames.len();
        Self {
            length,
            address: vec![-1; length],
            inline_depth: frames.iter().map(|frame| frame.inline_depth).collect(),
            category: frames.iter().map(|frame| frame.category).collect(),
            subcategory: vec![0; length],
            func: frames.iter().map(|frame| frame.function).collect(),
            native_symbol: vec![None; length],
            inner_window_id: vec![0; length],
            line: frames.iter().map(|frame| frame.line).collect(),
            column: vec![None; length],
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FuncTable {
    length: usize,
    name: Vec<usize>,
    #[serde(rename = "isJS")]
    is_js: Vec<bool>,
    #[serde(rename = "relevantForJS")]
    relevant_for_js: Vec<bool>,
    /// -1: none.
    resource: Vec<i64>,
    source: Vec<Option<usize>>,
    line_number: Nulls,
    column_number: Nulls,
}

impl FuncTable {
    fn of(functions: &[Function]) -> Self {
        let length = functions.len();
        let resource = |function: &Function| function.resource.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1);
        Self {
            length,
            name: functions.iter().map(|function| function.name).collect(),
            is_js: vec![false; length],
            relevant_for_js: vec![false; length],
            resource: functions.iter().map(resource).collect(),
            source: functions.iter().map(|function| function.source).collect(),
            line_number: vec![None; length],
            column_number: vec![None; length],
        }
    }
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct NativeSymbols {
    length: usize,
    address: [(); 0],
    function_size: [(); 0],
    lib_index: [(); 0],
    name: [(); 0],
}

#[derive(Serialize)]
struct ResourceTable {
    length: usize,
    lib: Nulls,
    name: Vec<usize>,
    host: Nulls,
    /// 0: of no kind that the page knows. (A library would be one whose symbols it asks for.)
    r#type: Vec<u32>,
}

impl ResourceTable {
    fn of(name: Vec<usize>) -> Self {
        let length = name.len();
        Self { length, lib: vec![None; length], name, host: vec![None; length], r#type: vec![0; length] }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sources {
    length: usize,
    id: Nulls,
    filename: Vec<usize>,
    start_line: Vec<u32>,
    start_column: Vec<u32>,
    #[serde(rename = "sourceMapURL")]
    source_map_url: Nulls,
}

impl Sources {
    fn of(filename: Vec<usize>) -> Self {
        let length = filename.len();
        let (id, source_map_url) = (vec![None; length], vec![None; length]);
        Self { length, id, filename, start_line: vec![1; length], start_column: vec![1; length], source_map_url }
    }
}

#[derive(Serialize)]
struct StackTable {
    length: usize,
    frame: Vec<usize>,
    prefix: Vec<Option<usize>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Thread<'v> {
    name: String,
    is_main_thread: bool,
    process_type: &'static str,
    process_name: Option<&'v str>,
    process_startup_time: f64,
    process_shutdown_time: Option<f64>,
    register_time: f64,
    unregister_time: Option<f64>,
    paused_ranges: [(); 0],
    show_markers_in_timeline: bool,
    pid: String,
    tid: String,
    samples: Samples,
    markers: Markers,
}

impl<'v> Thread<'v> {
    fn of(view: &View, thread: &'v Track, place: usize, is_main_thread: bool, leaves: &[Option<usize>]) -> Self {
        Self {
            name: thread.title(),
            is_main_thread,
            process_type: "default",
            process_name: thread.process.as_deref(),
            process_startup_time: 0.0,
            process_shutdown_time: None,
            register_time: 0.0,
            unregister_time: None,
            paused_ranges: [],
            show_markers_in_timeline: false,
            pid: thread.pid.map_or_else(|| "0".to_owned(), |pid| pid.to_string()),
            tid: thread.id.clone().unwrap_or_else(|| place.to_string()),
            samples: Samples::of(view, thread, leaves),
            markers: Markers::default(),
        }
    }
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Samples {
    length: usize,
    stack: Vec<Option<usize>>,
    /// Milliseconds since the start.
    time: Vec<f64>,
    /// Milliseconds.
    weight: Vec<f64>,
    weight_type: &'static str,
}

impl Samples {
    /// Time of which nothing is known has a sample without stack, so that none is drawn over it.
    fn of(view: &View, thread: &Track, leaves: &[Option<usize>]) -> Self {
        let mut samples = Self { weight_type: "tracing-ms", ..Self::default() };
        let mut at_us = view.start_us;
        for run in &thread.runs {
            if run.start_us > at_us {
                samples.push(None, at_us - view.start_us, run.start_us - at_us);
            }
            let stack = leaves.get(run.stack).copied().flatten();
            samples.push(stack, run.start_us.saturating_sub(view.start_us), run.us());
            at_us = run.end_us;
        }
        samples
    }

    #[allow(clippy::cast_precision_loss, reason = "microseconds of a view, below 2^53")]
    fn push(&mut self, stack: Option<usize>, at_us: u64, us: u64) {
        self.length += 1;
        self.stack.push(stack);
        self.time.push(at_us as f64 / 1e3);
        self.weight.push(us as f64 / 1e3);
    }
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Markers {
    length: usize,
    category: [(); 0],
    data: [(); 0],
    name: [(); 0],
    start_time: [(); 0],
    end_time: [(); 0],
    phase: [(); 0],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{export::testing::recorded_of, thread::Filter};

    /// Check the tables and the tracks, with inlined frames, a gap and a stack that was cut.
    #[test]
    fn all_threads() {
        let mut out = Vec::new();
        write(&View::of_recordings(&[recorded_of(Filter::All)]), &mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let mut lines = Vec::new();
        for table in ["frameTable", "funcTable", "resourceTable", "sources", "stackTable"] {
            let table_json = json["shared"][table].as_object().unwrap();
            let told = table_json
                .iter()
                .filter(|(name, column)| *name == "prefix" || !column[0].is_null() || !column.is_array());
            let columns: Vec<_> = told.map(|(name, column)| format!("{name}={column}")).collect();
            lines.push(format!("{table}: {}", columns.join(" ")));
        }
        lines.push(json["shared"]["stringArray"].to_string());
        for thread in json["threads"].as_array().unwrap() {
            let samples = &thread["samples"];
            let (stack, time, weight) = (&samples["stack"], &samples["time"], &samples["weight"]);
            lines.push(format!(
                "{} {} main={} {stack} {time} {weight}",
                thread["name"], thread["tid"], thread["isMainThread"]
            ));
        }
        insta::assert_snapshot!(lines.join("\n"), @r#"
        frameTable: address=[-1,-1,-1,-1,-1,-1] category=[0,0,0,0,0,0] func=[0,1,2,3,4,5] inlineDepth=[0,0,0,1,0,0] innerWindowID=[0,0,0,0,0,0] length=6 line=[12,40,77,5,null,null] subcategory=[0,0,0,0,0,0]
        funcTable: isJS=[false,false,false,false,false,false] length=6 name=[0,3,5,6,8,10] relevantForJS=[false,false,false,false,false,false] resource=[0,0,0,0,1,-1] source=[0,1,1,2,null,null]
        resourceTable: length=2 name=[2,9] type=[0,0]
        sources: filename=[1,4,7] length=3 startColumn=[1,1,1] startLine=[1,1,1]
        stackTable: frame=[0,1,2,3,1,4,5,2,3] length=9 prefix=[null,0,1,2,1,0,null,6,7]
        ["main","/src/acme/main.cc","sorter","sort(int*; int*)","/src/acme/sort.cc","merge","compare","/src/acme/compare.h","libpool.so.1+0x123","libpool.so.1","[truncated: beyond_copy]"]
        "sorter (10)" "10" main=true [null,3,4,3,5] [0.0,10.0,30.0,40.0,50.0] [10.0,20.0,10.0,10.0,10.0]
        "pool; 1 (11)" "11" main=false [null,5,5] [0.0,10.0,40.0] [10.0,30.0,10.0]
        "thread (12)" "12" main=false [null,8] [0.0,30.0] [30.0,30.0]
        "#);
    }
}
