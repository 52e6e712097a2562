//! Figures and tables for people.

use std::fmt::Write as _;

/// Microseconds as `12.34 s`, `5.6 ms`, `7 us`.
#[allow(clippy::cast_precision_loss, reason = "four digits are shown")]
pub(super) fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

/// A part of a whole as `12.3 %`.
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn share(part: u64, whole: u64) -> String {
    percent(if whole == 0 { 0.0 } else { part as f64 / whole as f64 })
}

/// 0.123 as `12.3 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// The same with its sign.
pub(super) fn change(share: f64) -> String {
    format!("{:+.1} %", share * 100.0)
}

/// Columns as wide as their widest cell; numbers to the right, the last column to the left.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let rows = rows.iter().map(|row| row.iter().map(String::as_str).collect());
    let lines: Vec<Vec<&str>> = std::iter::once(head.to_vec()).chain(rows).collect();
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        for (place, (cell, width)) in line.iter().zip(&widths).enumerate() {
            if place + 1 == head.len() {
                text.push_str(cell);
            } else {
                // Into a string: cannot fail.
                let _ = write!(text, "{cell:>width$}  ");
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check the alignment, and how figures are written.
    #[test]
    fn aligned() {
        let rows = [(12_345_678, 20_000_000, "compare"), (5_600, 7, "日本 (x)")];
        let rows: Vec<Vec<String>> =
            rows.iter().map(|(us, of, name)| vec![time(*us), share(*us, *of), (*name).to_owned()]).collect();
        insta::assert_snapshot!(table(&["self", "self %", "function"], &rows), @r"
           self     self %  function
        12.35 s     61.7 %  compare
         5.6 ms  80000.0 %  日本 (x)
        ");
        assert_eq!(
            (time(7), change(0.0123), percent(1.0)),
            ("7 us".to_owned(), "+1.2 %".to_owned(), "100.0 %".to_owned())
        );
    }
}
