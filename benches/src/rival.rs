//! framehop on the same stacks, given the same files.

use framehop::{
    ExplicitModuleSectionInfo, FrameAddress, Module, Unwinder,
    x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64},
};
use object::{Object, ObjectSection, read::elf::ElfFile64};
use profile::{address::RemoteAddr, stack::FRAMES_MAX};
use unwinder::{MappedRange, Memory};

use crate::corpus::{Corpus, Stack};

/// framehop with every module of a corpus.
pub struct Framehop {
    unwinder: UnwinderX86_64<Vec<u8>>,
    cache: CacheX86_64,
}

impl std::fmt::Debug for Framehop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Framehop").finish_non_exhaustive()
    }
}

impl Framehop {
    pub fn new(corpus: &Corpus) -> Self {
        let mut unwinder = UnwinderX86_64::new();
        for range in corpus.map.ranges() {
            if let Some(module) = module(range, corpus) {
                unwinder.add_module(module);
            }
        }
        Self { unwinder, cache: CacheX86_64::new() }
    }

    /// Every stack once; how many frames they have.
    pub fn pass(&mut self, corpus: &Corpus) -> usize {
        let mut frames = 0;
        for one in &corpus.stacks {
            self.walk(one, |address| {
                std::hint::black_box(address);
                frames += 1;
            });
        }
        frames
    }

    /// A stack's frames, leaf first.
    pub fn addresses(&mut self, one: &Stack) -> Vec<u64> {
        let mut addresses = Vec::new();
        self.walk(one, |address| addresses.push(address.address()));
        addresses
    }

    fn walk(&mut self, one: &Stack, mut use_frame: impl FnMut(FrameAddress)) {
        let mut memory = one.memory();
        let mut read = |at: u64| {
            let mut bytes = [0; 8];
            if memory.read(RemoteAddr(at), &mut bytes) { Ok(u64::from_le_bytes(bytes)) } else { Err(()) }
        };
        let register = |number| one.registers.get(number).unwrap_or(0);
        let pc = one.registers.pc().0;
        let registers = UnwindRegsX86_64::new(pc, one.registers.sp().0, register(6));
        let mut frames = self.unwinder.iter_frames(pc, registers, &mut self.cache, &mut read);
        for _ in 0..FRAMES_MAX {
            let Ok(Some(frame)) = frames.next() else { return };
            use_frame(frame);
        }
    }
}

fn module(range: &MappedRange, corpus: &Corpus) -> Option<Module<Vec<u8>>> {
    let file = ElfFile64::<object::LittleEndian>::parse(corpus.files.get(&range.module?)?.as_slice()).ok()?;
    let section = |name: &str| {
        let section = file.section_by_name(name)?;
        Some((section.address()..section.address() + section.size(), section.data().ok()?.to_vec()))
    };
    let addresses =
        |name: &str| file.section_by_name(name).map(|found| found.address()..found.address() + found.size());
    let (eh_frame_svma, eh_frame) = section(".eh_frame").unzip();
    let (eh_frame_hdr_svma, eh_frame_hdr) = section(".eh_frame_hdr").unzip();
    let info = ExplicitModuleSectionInfo {
        base_svma: 0,
        text_svma: addresses(".text"),
        got_svma: addresses(".got"),
        eh_frame_svma,
        eh_frame,
        eh_frame_hdr_svma,
        eh_frame_hdr,
        ..ExplicitModuleSectionInfo::default()
    };
    Some(Module::new(String::new(), range.start.0..range.end.0, range.bias.0, info))
}
