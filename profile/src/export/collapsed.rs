//! Collapsed stacks, as flame graph tools read them: a line for each distinct stack, root first, `;` between frames,
//! the count of samples last.

use std::{collections::BTreeMap, fmt::Write as _, io};

use crate::export::{Options, Recorded, Shown, root_first};

/// Writes the stacks of all recordings, sorted, each once. In names `;` becomes `:`, line feeds and other control
/// characters become spaces.
pub fn write(recorded: &[Recorded], options: Options, out: &mut impl io::Write) -> io::Result<()> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for one in recorded {
        for (stack, ticks) in ticks_by_stack(one, options) {
            *counts.entry(text(one, stack, options)).or_default() += ticks;
        }
    }
    for (stack, ticks) in counts {
        writeln!(out, "{stack} {ticks}")?;
    }
    Ok(())
}

fn ticks_by_stack(recorded: &Recorded, options: Options) -> BTreeMap<usize, u64> {
    let mut ticks = BTreeMap::new();
    for run in recorded.threads.iter().flat_map(|thread| &thread.runs).filter(|run| options.takes(run)) {
        *ticks.entry(run.stack).or_default() += run.ticks;
    }
    ticks
}

fn text(recorded: &Recorded, stack: usize, options: Options) -> String {
    let mut text = String::new();
    for frame in root_first(recorded, stack) {
        if !text.is_empty() {
            text.push(';');
        }
        push_frame(&mut text, &frame, options);
    }
    if text.is_empty() { "[no frames]".to_owned() } else { text }
}

fn push_frame(text: &mut String, frame: &Shown<'_>, options: Options) {
    push_plain(text, &frame.name);
    if let (true, Some(file), Some(line)) = (options.lines, frame.file, frame.line) {
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
    use crate::export::testing::recorded;

    fn collapsed(options: Options) -> String {
        let mut out = Vec::new();
        write(&[recorded()], options, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Check the whole format: all threads, inlined frames, a frame without name, a cut stack, replaced characters.
    #[test]
    fn all_threads() {
        insta::assert_snapshot!(collapsed(Options::default()), @r#"
        [truncated: beyond_copy];merge;compare 3
        main;libpool.so.1+0x123 4
        main;sort(int*: int*);merge;compare 3
        main;sort(int*: int*);sort(int*: int*) 1
        "#);
    }

    /// Check that a line follows a name where it is known.
    #[test]
    fn with_lines() {
        insta::assert_snapshot!(collapsed(Options { lines: true, ..Options::default() }), @r#"
        [truncated: beyond_copy];merge (sort.cc:77);compare (compare.h:5) 3
        main (main.cc:12);libpool.so.1+0x123 4
        main (main.cc:12);sort(int*: int*) (sort.cc:40);merge (sort.cc:77);compare (compare.h:5) 3
        main (main.cc:12);sort(int*: int*) (sort.cc:40);sort(int*: int*) (sort.cc:40) 1
        "#);
    }

    /// Check that only what was on a CPU is left.
    #[test]
    fn on_cpu() {
        insta::assert_snapshot!(collapsed(Options { on_cpu: true, ..Options::default() }), @r#"
        main;sort(int*: int*);merge;compare 3
        main;sort(int*: int*);sort(int*: int*) 1
        "#);
    }
}
