//! Collapsed stacks, as flame graph tools read them: a line for each distinct stack, root first, `;` between frames,
//! the count of samples last.

use std::{collections::BTreeMap, fmt::Write as _, io};

use crate::export::{Counted, Options, Shown, View};

/// A line number with what stands around it, at most.
const LINE_BYTES: usize = 14;

/// Writes the stacks of all threads, sorted, each once; where there are several processes, those of each stand on a
/// frame `process PID:PROGRAM`. The count is that of [`Counted`]. In names `;` becomes `:`, line feeds and other control
/// characters become spaces.
pub fn write(view: &View, options: Options, out: &mut impl io::Write) -> io::Result<()> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (root, sums) in sums(view) {
        for (stack, sum) in sums {
            *counts.entry(text(view, root.unwrap_or_default(), stack, options)).or_default() += sum;
        }
    }
    for (stack, count) in counts {
        writeln!(out, "{stack} {count}")?;
    }
    Ok(())
}

/// About how many bytes that will be, known before any is made: names stand again in each stack that has them.
pub fn size(view: &View, options: Options) -> u64 {
    let of_frame = |frame: &Shown| {
        let file = frame.file.as_ref().filter(|_| options.lines).map_or(0, |file| file.len() + LINE_BYTES);
        (frame.name.len() + file + 1) as u64
    };
    let mut lengths: Vec<u64> = Vec::with_capacity(view.stacks.len());
    for entry in &view.stacks {
        let place = entry.place.and_then(|place| view.places.get(place));
        let own: u64 = place.map_or(0, |place| place.frames.iter().map(of_frame).sum());
        // A parent is always the smaller.
        let below = entry.parent.and_then(|parent| lengths.get(parent)).copied().unwrap_or(0);
        lengths.push(own.saturating_add(below));
    }
    let stacks = sums(view).into_values().flat_map(BTreeMap::into_keys);
    stacks.fold(0, |sum, stack| sum.saturating_add(lengths.get(stack).copied().unwrap_or(0)))
}

/// What is counted of each stack, by process.
fn sums(view: &View) -> BTreeMap<Option<&str>, BTreeMap<usize, u64>> {
    let mut sums: BTreeMap<_, BTreeMap<usize, u64>> = BTreeMap::new();
    for thread in &view.threads {
        let sums = sums.entry(thread.process.as_deref()).or_default();
        for run in &thread.runs {
            let count = match view.counted {
                Counted::Ticks => run.ticks,
                Counted::Microseconds => run.us(),
            };
            *sums.entry(run.stack).or_default() += count;
        }
    }
    sums
}

fn text(view: &View, root: &str, stack: usize, options: Options) -> String {
    let mut text = String::new();
    push_plain(&mut text, root);
    let begin = text.len();
    let frames: Vec<&Shown> = view.frames(stack).collect();
    for frame in frames.into_iter().rev() {
        if !text.is_empty() {
            text.push(';');
        }
        push_frame(&mut text, frame, options);
    }
    if text.len() == begin {
        text.push_str(if begin == 0 { "[no frames]" } else { ";[no frames]" });
    }
    text
}

fn push_frame(text: &mut String, frame: &Shown, options: Options) {
    push_plain(text, &frame.name);
    if let (true, Some(file), Some(line)) = (options.lines, &frame.file, frame.line) {
        text.push_str(" (");
        push_plain(text, file);
        // Into a string: cannot fail.
        let _ = write!(text, ":{line})");
    }
}

fn push_plain(text: &mut String, name: &str) {
    text.extend(name.chars().map(|c| match c {
        ';' => ':',
        c if c.is_control() => ' ',
        c => c,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        export::{
            Recorded,
            testing::{recorded, recorded_of},
        },
        thread::Filter,
    };

    fn collapsed(recorded: Recorded, options: Options) -> String {
        let mut out = Vec::new();
        let view = View::of_recordings(&[recorded]);
        write(&view, options, &mut out).unwrap();
        // But for names of processes and counts.
        assert!(out.len() as u64 <= size(&view, options) + 100 * view.stacks.len() as u64);
        String::from_utf8(out).unwrap()
    }

    /// Check the whole format: all threads, inlined frames, a frame without name, a cut stack, replaced characters.
    #[test]
    fn all_threads() {
        insta::assert_snapshot!(collapsed(recorded(), Options::default()), @r#"
        [truncated: beyond_copy];merge;compare 3
        main;libpool.so.1+0x123 4
        main;sort(int*: int*);merge;compare 3
        main;sort(int*: int*);sort(int*: int*) 1
        "#);
    }

    /// Check that several processes are told apart, and that what their names hold is no separator.
    #[test]
    fn several_processes() {
        let (one, mut other) = (recorded_of(Filter::OnCpu), recorded_of(Filter::OnCpu));
        other.info.pid = crate::id::Pid(11);
        other.info.exe = Some("/opt/a;b".into());
        let mut out = Vec::new();
        write(&View::of_recordings(&[one, other]), Options::default(), &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        process 10:sorter;main;sort(int*: int*);merge;compare 3
        process 10:sorter;main;sort(int*: int*);sort(int*: int*) 1
        process 11:a:b;main;sort(int*: int*);merge;compare 3
        process 11:a:b;main;sort(int*: int*);sort(int*: int*) 1
        "#);
    }

    /// Check that a line follows a name where it is known.
    #[test]
    fn with_lines() {
        insta::assert_snapshot!(collapsed(recorded(), Options { lines: true }), @r#"
        [truncated: beyond_copy];merge (sort.cc:77);compare (compare.h:5) 3
        main (main.cc:12);libpool.so.1+0x123 4
        main (main.cc:12);sort(int*: int*) (sort.cc:40);merge (sort.cc:77);compare (compare.h:5) 3
        main (main.cc:12);sort(int*: int*) (sort.cc:40);sort(int*: int*) (sort.cc:40) 1
        "#);
    }

    /// Check that only what was on a CPU is left.
    #[test]
    fn on_cpu() {
        insta::assert_snapshot!(collapsed(recorded_of(Filter::OnCpu), Options::default()), @r#"
        main;sort(int*: int*);merge;compare 3
        main;sort(int*: int*);sort(int*: int*) 1
        "#);
    }
}
