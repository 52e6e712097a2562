//! Lines of instructions: the line tables of code objects. Pure; any bytes are a table.

use super::offsets::LineTable;

/// The line of the instruction at an offset of the code in bytes; before the code, where a frame has not begun, the first.
/// `None` where the table has none: code that the compiler added.
pub(super) fn line(kind: LineTable, table: &[u8], first_line: u32, offset: i64) -> Option<u32> {
    let Ok(offset) = u64::try_from(offset) else { return Some(first_line) };
    let line = match kind {
        LineTable::Lnotab => Some(lnotab(table, offset, first_line.into())),
        LineTable::Ranges => ranges(table, offset, first_line.into()),
        LineTable::Locations => locations(table, offset, first_line.into()),
    };
    line.and_then(|line| u32::try_from(line).ok())
}

/// Pairs of how much further an offset is, and by how much the line differs there.
fn lnotab(table: &[u8], offset: u64, first: i64) -> i64 {
    let mut at = 0;
    let mut line = first;
    for [further, by] in table.as_chunks().0 {
        at += u64::from(*further);
        if at > offset {
            break;
        }
        line += i64::from(by.cast_signed());
    }
    line
}

/// Pairs of how long a range is, and by how much its line differs from that of the range before; -128 is a range of none.
fn ranges(table: &[u8], offset: u64, first: i64) -> Option<i64> {
    let mut end = 0;
    let mut line = first;
    for [length, by] in table.as_chunks().0 {
        end += u64::from(*length);
        let by = by.cast_signed();
        if by != i8::MIN {
            line += i64::from(by);
        }
        if offset < end {
            return (by != i8::MIN).then_some(line);
        }
    }
    None
}

/// Entries of 1 kkkk lll: a kind, and of how many code units (of two bytes) less one; what follows depends on the kind.
fn locations(table: &[u8], offset: u64, first: i64) -> Option<i64> {
    let mut bytes = table.iter().copied();
    let mut end = 0;
    let mut line = first;
    while let Some(head) = bytes.next() {
        end += (u64::from(head & 7) + 1) * 2;
        let kind = (head >> 3) & 15;
        match kind {
            0..=9 => skip(&mut bytes, 1),
            10..=12 => {
                line = line.checked_add((kind - 10).into())?;
                skip(&mut bytes, 2);
            }
            13 => line = line.checked_add(signed(&mut bytes))?,
            14 => {
                line = line.checked_add(signed(&mut bytes))?;
                (0..3).for_each(|_| {
                    number(&mut bytes);
                });
            }
            _ => {}
        }
        if offset < end {
            return (kind != 15).then_some(line);
        }
    }
    None
}

fn skip(bytes: &mut impl Iterator<Item = u8>, count: usize) {
    bytes.by_ref().take(count).for_each(drop);
}

/// Six bits a byte, the lowest first; a seventh says that more follow. What does not fit into 60 bits is lost.
fn number(bytes: &mut impl Iterator<Item = u8>) -> u64 {
    let mut number = 0;
    for (index, byte) in bytes.by_ref().enumerate() {
        if index < 10 {
            number |= u64::from(byte & 0x3f) << (6 * index);
        }
        if byte & 0x40 == 0 {
            break;
        }
    }
    number
}

/// As [`number`], the lowest bit being the sign.
fn signed(bytes: &mut impl Iterator<Item = u8>) -> i64 {
    let number = number(bytes);
    let size = (number >> 1).cast_signed();
    if number & 1 == 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(kind: LineTable, table: &[u8], offsets: &[i64]) -> Vec<Option<u32>> {
        offsets.iter().map(|offset| line(kind, table, 10, *offset)).collect()
    }

    /// Check that a line begins at its offset, and that a step of more than 127 lines takes two pairs.
    #[test]
    fn lnotab() {
        // if x: (line 10, up to 6) / y() (11, up to 16) / z() (238, from 16).
        let table = [6, 1, 10, 127, 0, 100];
        let expected = [10, 10, 10, 11, 11, 238, 238].map(Some);
        assert_eq!(lines(LineTable::Lnotab, &table, &[-1, 0, 5, 6, 15, 16, 900]), expected);
        assert_eq!(lines(LineTable::Lnotab, &[2, 0xff], &[0, 2]), [Some(10), Some(9)]);
    }

    /// Check that a range ends before its end, and that -128 is a range without a line.
    #[test]
    fn ranges() {
        let table = [4, 1, 2, 0x80, 6, 0xff];
        let expected = [Some(10), Some(11), Some(11), None, Some(10), Some(10), None];
        assert_eq!(lines(LineTable::Ranges, &table, &[-2, 0, 3, 4, 6, 11, 12]), expected);
    }

    /// Check one entry of every kind.
    #[test]
    fn locations() {
        let entry = |kind: u8, units: u8| 0x80 | kind << 3 | (units - 1);
        #[rustfmt::skip]
        let table = [
            entry(15, 1),                    // 0: none
            entry(13, 2), 6,                 // 2..6: +3
            entry(0, 1), 0x20,               // 6..8: +0
            entry(11, 8), 1, 2,              // 8..24: +1
            entry(14, 1), 0x41, 1, 0, 1, 2,  // 24..26: -32
            entry(12, 1), 0, 0,              // 26..28: +2
        ];
        let expected = [Some(10), None, Some(13), Some(13), Some(13), Some(14), Some(14), None, None, None];
        assert_eq!(lines(LineTable::Locations, &table, &[-2, 0, 2, 5, 6, 8, 23, 24, 26, 28]), expected);
        let lines: Vec<_> = [24, 26].iter().map(|at| line(LineTable::Locations, &table, 100, *at)).collect();
        assert_eq!(lines, [Some(72), Some(74)]);
    }
}
