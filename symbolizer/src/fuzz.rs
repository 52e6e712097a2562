//! What must hold for any bytes taken as a module and its debug file, and for any text taken as a mangled name: the bodies
//! of the fuzz targets, and of the tests that replay their corpora.

use std::{ffi::CStr, fs::File, io::Write, sync::Arc, time::Duration};

use nix::sys::memfd::{MFdFlags, memfd_create};
use profile::{address::FileAddr, frame::Frame};

use crate::{
    Budget, Elf, ModuleKey, ModuleSource, Settings, Symbolizer, TargetFiles, demangle, elf::ElfFile, image::Image,
    unit::INLINED_MAX,
};

/// Small, so that they are reached.
const SETTINGS: Settings = Settings { memory: 512 << 10, file_memory: 256 << 10, names: 16 << 10 };
/// Code sections whose addresses are named.
const SECTIONS: usize = 4;

/// Names addresses of a module, with and without time and bytes to do it. The bytes are the length of the module (u32,
/// little-endian), the module, and the debug file that is at every place where one is looked for.
///
/// # Panics
/// When a promise is broken; never, if all is well.
pub fn symbols(bytes: &[u8]) {
    let (len, rest) = bytes.split_first_chunk().unwrap_or((&[0; 4], &[]));
    let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
    let (module, debug) = rest.split_at_checked(len).unwrap_or((rest, &[]));
    let module: Arc<[u8]> = module.into();
    let addresses = addresses(&module);

    let unlimited = names(&module, debug, &addresses, &mut Budget::unlimited());
    let mut small = Budget::new(Duration::from_mins(1), 4096);
    for (frames, most) in names(&module, debug, &addresses, &mut small).iter().zip(&unlimited) {
        let over = frames.iter().any(|frame| frame.missing == Some(profile::frame::Missing::Budget));
        assert!(over || frames == most, "with a small budget, a name is another");
    }
    let none = names(&module, debug, &addresses, &mut Budget::new(Duration::ZERO, 0));
    let silent = |frames: &[Frame]| frames.iter().all(|frame| frame.function.is_none() && frame.missing.is_some());
    assert!(none.iter().all(|frames| silent(frames)), "a name without a budget");
}

/// Demangles a name.
///
/// # Panics
/// When a promise is broken; never, if all is well.
pub fn mangled(bytes: &[u8]) {
    let name = String::from_utf8_lossy(bytes);
    let shown = demangle::demangle(&name);
    assert!(shown.len() <= demangle::NAME_MAX + '…'.len_utf8(), "a name of {} bytes", shown.len());
    assert_eq!(shown.is_empty(), name.is_empty(), "a name gets lost, or comes from nowhere");
    assert_eq!(shown, demangle::demangle(&name));
}

/// Borders and middles of the code sections, and what is in none.
fn addresses(module: &Arc<[u8]>) -> Vec<u64> {
    let sections = ElfFile::parse(Image::Bytes(Arc::clone(module))).map(|file| file.sections).unwrap_or_default();
    let code = sections.iter().filter(|section| section.is_code()).take(SECTIONS);
    let places = code.flat_map(|section| {
        let size = section.size;
        [0, 1, size / 4, size / 2, size.wrapping_sub(1), size].map(|ahead| section.address.wrapping_add(ahead))
    });
    places.chain([0, 0x1000, u64::MAX]).collect()
}

fn names(module: &Arc<[u8]>, debug: &[u8], addresses: &[u64], budget: &mut Budget) -> Vec<Arc<[Frame]>> {
    let mut symbolizer = Symbolizer::new(SETTINGS);
    let files = Arc::new(Everywhere(debug.into()));
    let elf = Elf::Bytes(Arc::clone(module));
    let key = symbolizer.add(ModuleSource { path: "/opt/lib/libx.so".to_owned(), build_id: None, elf, files });
    let named: Vec<_> = addresses.iter().map(|at| name(&mut symbolizer, key, *at, budget)).collect();
    assert!(symbolizer.hints().len() <= 1);
    symbolizer.forget(key);
    assert_eq!(symbolizer.bytes(), 0, "a forgotten module is held");
    named
}

fn name(symbolizer: &mut Symbolizer, key: ModuleKey, at: u64, budget: &mut Budget) -> Arc<[Frame]> {
    let frames = symbolizer.name(key, FileAddr(at), budget);
    // Symbols and lines are each bounded, and so are the symbols that were unpacked.
    assert!(symbolizer.bytes() <= 3 * SETTINGS.file_memory, "{} bytes are held", symbolizer.bytes());
    assert!((1..=INLINED_MAX + 1).contains(&frames.len()), "{} frames", frames.len());
    assert!(frames.last().is_some_and(|outermost| !outermost.inlined), "the outermost frame is inlined");
    for frame in frames.iter() {
        assert!(frame.function.is_some() != frame.missing.is_some(), "neither a name nor a reason, or both");
        assert!(frame.line != Some(0) && frame.abs_path.is_some() == frame.filename.is_some());
    }
    frames
}

/// One file that is at every path.
#[derive(Debug)]
struct Everywhere(Box<[u8]>);

impl TargetFiles for Everywhere {
    fn open(&self, _: &str) -> Option<File> {
        const NAME: &CStr = c"debug";
        if self.0.is_empty() {
            return None;
        }
        let mut file = File::from(memfd_create(NAME, MFdFlags::MFD_CLOEXEC).ok()?);
        file.write_all(&self.0).ok()?;
        Some(file)
    }
}
