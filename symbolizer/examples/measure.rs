//! Names addresses of a file and says what that cost: `measure FILE [ADDRESS...]`; without addresses, a thousand are
//! taken evenly from its code (`nm`, or `nm -D` if it is stripped). Prints the frames of given addresses, figures otherwise.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a tool for people"
)]

use std::{fs::File, path::Path, process::Command, sync::Arc, time::Instant};

use profile::address::FileAddr;
use symbolizer::{Budget, Elf, ModuleSource, Settings, Symbolizer, TargetFiles};

#[derive(Debug)]
struct Host;

impl TargetFiles for Host {
    fn open(&self, path: &str) -> Option<File> {
        File::open(path).ok().filter(|file| file.metadata().is_ok_and(|facts| facts.is_file()))
    }
}

fn main() {
    let mut words = std::env::args().skip(1);
    let path = words.next().unwrap();
    let mut symbolizer = Symbolizer::new(Settings::default());
    let elf = Elf::File(File::open(&path).unwrap());
    let module = symbolizer.add(ModuleSource { path: path.clone(), build_id: None, elf, files: Arc::new(Host) });
    let asked: Vec<u64> = words.map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).unwrap()).collect();
    for at in &asked {
        for frame in symbolizer.name(module, FileAddr(*at), &mut Budget::unlimited()).iter() {
            println!("{frame:?}");
        }
    }
    if asked.is_empty() {
        figures(&mut symbolizer, module, &path);
    }
    println!("hints: {:?}", symbolizer.hints());
}

fn figures(symbolizer: &mut Symbolizer, module: symbolizer::ModuleKey, path: &str) {
    let addresses = addresses(Path::new(path), 1000);
    let budget = &mut Budget::unlimited();
    // The high-water mark from here on: `nm` gave us a long list before.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (before, peak) = (resident("RssAnon:"), resident("VmHWM:"));
    let start = Instant::now();
    let mut each: Vec<u128> = Vec::new();
    let (mut named, mut lines, mut inlined) = (0, 0, 0);
    for &at in &addresses {
        let one = Instant::now();
        let frames = symbolizer.name(module, FileAddr(at), budget);
        each.push(one.elapsed().as_nanos());
        named += usize::from(frames.iter().all(|frame| frame.function.is_some()));
        lines += usize::from(frames.iter().any(|frame| frame.line.is_some()));
        inlined += frames.iter().filter(|frame| frame.inlined).count();
    }
    let cold = start.elapsed();
    let peak = resident("VmHWM:") - peak;
    let first = each.remove(0);
    each.sort_unstable();
    let warm = Instant::now();
    for _ in 0..100 {
        for &at in &addresses {
            let _ = symbolizer.name(module, FileAddr(at), budget);
        }
    }
    println!("{path}: {} addresses, {named} named, {lines} with lines, {inlined} inlined frames", addresses.len());
    println!(
        "open and first name {:.1} ms; the others median {:.1} us, p99 {:.1} us, max {:.1} us; all {:.1} ms",
        first as f64 / 1e6,
        each[each.len() / 2] as f64 / 1e3,
        each[each.len() * 99 / 100] as f64 / 1e3,
        each[each.len() - 1] as f64 / 1e3,
        cold.as_secs_f64() * 1e3
    );
    println!(
        "warm {:.0} ns a name; tables {} KiB; anonymous +{} KiB; peak of all +{peak} KiB",
        warm.elapsed().as_nanos() as f64 / (100.0 * addresses.len() as f64),
        symbolizer.bytes() >> 10,
        resident("RssAnon:") - before
    );
}

/// Addresses inside functions, evenly over the sorted list of them.
fn addresses(path: &Path, wanted: usize) -> Vec<u64> {
    let nm = |which: &[&str]| {
        let listed = Command::new("nm").args(which).args(["--defined-only", "-n"]).arg(path).output().unwrap().stdout;
        String::from_utf8_lossy(&listed).into_owned()
    };
    let text = Some(nm(&[])).filter(|text| !text.is_empty()).unwrap_or_else(|| nm(&["-D"]));
    let functions: Vec<u64> = text
        .lines()
        .filter_map(|line| {
            let (at, rest) = line.split_once(' ')?;
            rest.starts_with(['t', 'T', 'w', 'W']).then(|| u64::from_str_radix(at, 16).ok())?
        })
        .collect();
    functions.iter().step_by((functions.len() / wanted).max(1)).map(|at| at + 1).collect()
}

/// A line of this process's memory, KiB.
fn resident(which: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").trim().parse().unwrap_or(0)
}
