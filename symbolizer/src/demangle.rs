//! Mangled names to names for people: Rust (both manglings, without the hash) and C++. A name that cannot be read
//! within the limits stays as it is.

use std::fmt::{self, Write};

use cpp_demangle::{DemangleOptions, ParseOptions, Symbol};

/// Longer mangled names are shown as they are. The longest in LLVM has 1,500 bytes, in Boost-heavy code 4,000; what is
/// longer is slow to parse and unreadable anyway.
const MANGLED_MAX: usize = 8 << 10;
/// A demangled name is cut here: back references let 100 bytes stand for megabytes.
pub(crate) const NAME_MAX: usize = 4 << 10;

/// The name for people.
pub(crate) fn demangle(name: &str) -> String {
    if name.len() > MANGLED_MAX {
        return cut(name);
    }
    rust(name).or_else(|| cpp(name)).unwrap_or_else(|| cut(name))
}

/// Whether the name is one that compilers make: it then says more than a bare `DW_AT_name`.
pub(crate) fn is_mangled(name: &str) -> bool {
    name.starts_with("_Z") || name.starts_with("_R")
}

fn rust(name: &str) -> Option<String> {
    if !is_mangled(name) {
        return None;
    }
    let demangled = rustc_demangle::try_demangle(name).ok()?;
    let mut to = Capped::default();
    // `#`: without the hash.
    let _ = write!(to, "{demangled:#}");
    // A C++ variable `ns::name` mangles like a legacy Rust path without a hash.
    let is_rust = name.starts_with("_R") || has_hash(name);
    is_rust.then(|| to.finish()).flatten()
}

/// Whether a legacy name holds `17h` and 16 hexadecimal digits, which only rustc writes.
fn has_hash(name: &str) -> bool {
    name.match_indices("17h").any(|(at, _)| {
        name.get(at + 3..at + 20)
            .and_then(|tail| tail.strip_suffix('E'))
            .is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    })
}

fn cpp(name: &str) -> Option<String> {
    if !name.starts_with("_Z") {
        return None;
    }
    // The crate's own limits (96, 128) are for an 8 MiB stack in a debug build; halved for a thread's 2 MiB.
    let symbol = Symbol::new_with_options(name, &ParseOptions::default().recursion_limit(64)).ok()?;
    let mut to = Capped::default();
    match symbol.structured_demangle(&mut to, &DemangleOptions::new().recursion_limit(64)) {
        Err(_) if !to.full => None,
        _ => to.finish(),
    }
}

/// Takes text up to [`NAME_MAX`], then stops the writer.
#[derive(Default)]
struct Capped {
    text: String,
    full: bool,
}

impl Capped {
    fn finish(mut self) -> Option<String> {
        if self.full {
            self.text.push('…');
        }
        (!self.text.is_empty()).then_some(self.text)
    }
}

impl Write for Capped {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let room = NAME_MAX.saturating_sub(self.text.len());
        if piece.len() <= room {
            self.text.push_str(piece);
            return Ok(());
        }
        self.text.push_str(piece.get(..piece.floor_char_boundary(room)).unwrap_or_default());
        self.full = true;
        Err(fmt::Error)
    }
}

fn cut(name: &str) -> String {
    let mut to = Capped::default();
    let _ = to.write_str(name);
    to.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that each mangling is read, hashes are dropped, and what is none stays.
    #[test]
    fn names_for_people() {
        let names = [
            "_ZN4core3fmt9Formatter3pad17h0123456789abcdefE",
            "_ZN66_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..ops..drop..Drop$GT$4drop17h0123456789abcdefE.llvm.123",
            "_RNvCskwGfYPst2Cb_3foo16example_function",
            "_ZNSt6vectorIiSaIiEE9push_backERKi",
            "_ZN3foo3barEv.part.0",
            "_ZN3foo8variableE",
            "main",
            "_Z",
            "_RNv",
        ];
        let shown: Vec<String> = names.iter().map(|name| demangle(name)).collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        core::fmt::Formatter::pad
        <alloc::vec::Vec<T> as core::ops::drop::Drop>::drop
        foo::example_function
        std::vector<int, std::allocator<int> >::push_back(int const&)
        foo::bar() [clone .part.0]
        foo::variable
        main
        _Z
        _RNv
        ");
    }

    /// Check that back references do not blow up: 30 doublings of a type.
    #[test]
    fn bomb_is_cut() {
        let mut bomb = String::from("_Z1fI1aE");
        let mut kind = String::from("1a");
        for n in 0..30 {
            kind = format!("1bI{kind}{kind}E");
            if kind.len() > 4000 {
                break;
            }
            let _ = write!(bomb, "{n}");
        }
        let name = demangle(&format!("_Z1fv{kind}"));
        assert!(name.len() <= NAME_MAX + 3, "{}", name.len());
        assert!(demangle(&"x".repeat(100_000)).len() <= NAME_MAX + 3);
    }
}
