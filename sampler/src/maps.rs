//! `/proc/PID/maps`, parsed. The procfs crate is not used for it: one path that is not UTF-8 makes it refuse the whole
//! table, and a target chooses its paths.

use profile::address::RemoteAddr;

/// More rows are left out: `vm.max_map_count` is 65,530 by default, and rows beyond would cost more than they tell.
pub const ROWS_MAX: usize = 262_144;

/// One row of maps (`proc_pid_maps(5)`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// First byte.
    pub start: RemoteAddr,
    /// One past the last byte.
    pub end: RemoteAddr,
    /// `r`, `w`, `x`, `s` as bits 1, 2, 4, 8.
    pub permissions: u8,
    /// Where in the file the first byte is.
    pub offset: u64,
    /// Major and minor number.
    pub device: (u32, u32),
    /// 0: no file.
    pub inode: u64,
    /// As the kernel prints it (a newline as `\012`), without " (deleted)"; `[stack]`, `[vdso]` ...; empty for none.
    pub path: String,
    /// The file has no name any more.
    pub deleted: bool,
}

impl Row {
    /// May be executed.
    pub fn is_executable(&self) -> bool {
        self.permissions & 4 != 0
    }
}

/// Parses the whole file. Rows that make no sense are left out; their count is the second value.
pub fn parse(text: &[u8]) -> (Vec<Row>, usize) {
    let mut rows = Vec::new();
    let mut bad = 0;
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(ROWS_MAX) {
        match row(line) {
            Some(row) => rows.push(row),
            None => bad += 1,
        }
    }
    (rows, bad)
}

/// `start-end perms offset major:minor inode   path`
fn row(line: &[u8]) -> Option<Row> {
    let mut rest = line;
    let (start, end) = split_at_byte(field(&mut rest)?, b'-')?;
    let permissions = field(&mut rest)?;
    let offset = hexadecimal(field(&mut rest)?)?;
    let (major, minor) = split_at_byte(field(&mut rest)?, b':')?;
    let inode = decimal(field(&mut rest)?)?;
    let path = String::from_utf8_lossy(rest.trim_ascii_start()).into_owned();
    let (path, deleted) = match path.strip_suffix(" (deleted)") {
        Some(path) => (path.to_owned(), true),
        None => (path, false),
    };
    let (start, end) = (hexadecimal(start)?, hexadecimal(end)?);
    (start < end).then_some(Row {
        start: RemoteAddr(start),
        end: RemoteAddr(end),
        permissions: permission_bits(permissions),
        offset,
        device: (u32::try_from(hexadecimal(major)?).ok()?, u32::try_from(hexadecimal(minor)?).ok()?),
        inode,
        path,
        deleted,
    })
}

fn permission_bits(text: &[u8]) -> u8 {
    b"rwxs"
        .iter()
        .enumerate()
        .fold(0, |bits, (place, letter)| bits | (u8::from(text.get(place) == Some(letter)) << place))
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let text = rest.trim_ascii_start();
    let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    let (field, after) = text.split_at_checked(end)?;
    *rest = after;
    (!field.is_empty()).then_some(field)
}

fn split_at_byte(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = text.iter().position(|byte| *byte == at)?;
    Some((text.get(..place)?, text.get(place.checked_add(1)?..)?))
}

fn hexadecimal(text: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Check rows with a path, a deleted path with blanks, no path, and damage.
    #[test]
    fn parse_rows() {
        let (rows, bad) = parse(
            b"55d0c0000000-55d0c0001000 r-xp 00002000 fe:01 123    /usr/bin/a b (deleted)\n\
              7ffd1000-7ffd2000 rw-p 00000000 00:00 0 \n\
              7ffd3000-7ffd4000 r--s 00000000 00:00 7 [vdso]\n\
              nonsense\n\
              7ffd4000-7ffd3000 r--p 0 0:0 0\n",
        );
        assert_eq!(bad, 2);
        let told: Vec<_> = rows
            .iter()
            .map(|row| {
                format!(
                    "{} {} {} {:?} {} {:?} {}",
                    row.start, row.end, row.permissions, row.device, row.inode, row.path, row.deleted
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "0x55d0c0000000 0x55d0c0001000 5 (254, 1) 123 \"/usr/bin/a b\" true",
                "0x7ffd1000 0x7ffd2000 3 (0, 0) 0 \"\" false",
                "0x7ffd3000 0x7ffd4000 9 (0, 0) 7 \"[vdso]\" false",
            ]
        );
    }

    /// Check that our own table is parsed without a bad row.
    #[test]
    fn parse_self() {
        let (rows, bad) = parse(&std::fs::read("/proc/self/maps").unwrap());
        assert_eq!(bad, 0);
        assert!(rows.iter().any(|row| row.is_executable() && row.inode != 0));
    }

    proptest! {
        /// Check that no bytes make the parser panic.
        #[test]
        fn parse_anything(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            parse(&bytes);
        }
    }
}
