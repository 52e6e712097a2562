//! What must hold for any bytes read out of `/proc`: the body of the fuzz target, and of the test that replays its corpus.

use crate::{
    maps::{self, ROWS_MAX, Row},
    procfs::{self, Syscall},
    taskstats,
};

/// Each parser of a file of `/proc`, on the same bytes.
///
/// # Panics
/// When a promise is broken; never, if all is well.
pub fn proc_files(bytes: &[u8]) {
    let (rows, bad) = maps::parse(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    assert_eq!(rows.len() + bad, lines.min(ROWS_MAX), "a row is neither good nor bad");
    assert!(rows.iter().all(|row| row.start < row.end), "an empty row");
    let printed: String = rows.iter().map(printed).collect();
    assert_eq!(maps::parse(printed.as_bytes()), (rows, 0), "a row changes when it is printed");

    stat(bytes);
    syscall(bytes);
    if let Some(counted) = procfs::parse_schedstat(bytes) {
        let printed = format!("1 {} {}\n", counted.waited_ns, counted.run_count);
        assert_eq!(procfs::parse_schedstat(printed.as_bytes()), Some(counted));
    }
    for kind in 0..4 {
        assert!(taskstats::attribute(bytes, kind).is_none_or(|value| value.len() < bytes.len()), "a value is too long");
    }
    let doubt = [bytes, b"\nSigPnd:\t1\nShdPnd:\t0\nSigBlk:\t0\n"].concat();
    assert!(procfs::has_pending_signal(&doubt) || status_says_more(bytes), "a pending signal is overlooked");
}

/// A row as the kernel prints it (`fs/proc/task_mmu.c: show_map_vma`).
fn printed(row: &Row) -> String {
    let permissions: String = "rwxs"
        .chars()
        .enumerate()
        .map(|(bit, letter)| if row.permissions & (1 << bit) == 0 { '-' } else { letter })
        .collect();
    let Row { start, end, offset, device: (major, minor), inode, path, deleted, .. } = row;
    let deleted = if *deleted { " (deleted)" } else { "" };
    format!(
        "{:08x}-{:08x} {permissions} {offset:08x} {major:02x}:{minor:02x} {inode} {path}{deleted}\n",
        start.0, end.0
    )
}

/// The thread's name, in parentheses, is its own choice: it must not matter.
fn stat(bytes: &[u8]) {
    let parsed = procfs::parse_stat(bytes);
    let close = bytes.iter().rposition(|byte| *byte == b')');
    let fields = close.and_then(|close| bytes.get(close..));
    let renamed = fields.and_then(|fields| procfs::parse_stat(&[b"1 (a) R 1 (b", fields].concat()));
    assert_eq!(parsed, renamed, "the name matters");
}

fn syscall(bytes: &[u8]) {
    let Some(parsed) = procfs::parse_syscall(bytes) else { return };
    let printed = match parsed {
        Syscall::Running => "running\n".to_owned(),
        Syscall::In { number, first, sp, pc } => format!("{number} {first:#x} 0x0 0x0 0x0 0x0 0x0 {sp:#x} {pc:#x}\n"),
        Syscall::Outside { sp, pc } => format!("-1 {sp:#x} {pc:#x}\n"),
    };
    assert_eq!(procfs::parse_syscall(printed.as_bytes()), Some(parsed));
}

/// Whether a signal mask is stated already: of two lines of a name, the first counts.
fn status_says_more(bytes: &[u8]) -> bool {
    bytes
        .split(|byte| *byte == b'\n')
        .any(|line| [b"SigPnd:", b"ShdPnd:", b"SigBlk:"].iter().any(|name| line.starts_with(*name)))
}
