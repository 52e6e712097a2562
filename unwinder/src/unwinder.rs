//! The walk from the leaf to the root, frame by frame.

use std::collections::HashMap;

use profile::{
    address::{FileAddr, RemoteAddr},
    stack::{FRAMES_MAX, NativeFrame, NativeStack, PcKind, StackEnd, Truncation},
};

use crate::{
    MappedRange, Memory, ModuleMap, Registers,
    cache::{BITS, RuleCache},
    epilogue::{self, Place},
    full::{self, Failed},
    info::{Found, UnwindInfo},
    lookup::{self, Context, Work},
    prologue, read_word,
    registers::{RA, RBP, RSP},
    rule::{Cfa, Rbp, Rule},
};

/// A frame that lies farther up than this is no frame: it is what a register that is no frame pointer points to.
const FRAME_MAX: u64 = 1 << 20;
/// More depths are not kept.
const DEPTHS_MAX: usize = 16 * 1024;

/// Walks stacks. Holds the rule cache; one for all targets.
#[derive(Debug)]
pub struct Unwinder {
    cache: RuleCache,
    context: Box<Context>,
    depths: Depths,
}

/// How far rbp is above rsp, by file and return address; `None`: the code does not tell.
type Depths = HashMap<(u32, u64), Option<u64>>;

impl Default for Unwinder {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a walk is: three registers.
#[derive(Clone, Copy, Debug)]
struct At {
    pc: u64,
    sp: u64,
    bp: Option<u64>,
    kind: PcKind,
    /// rbp came out of a chain of frame pointers.
    chained: bool,
}

impl At {
    /// A frame further up, of which nothing is known yet.
    fn caller(&self) -> Self {
        Self { kind: PcKind::Return, chained: false, ..*self }
    }
}

/// What one step of a walk led to.
enum Step {
    Up(At),
    /// The same, found without unwind information.
    Guessed(At),
    End(StackEnd),
    /// The frame needs every register: walk again from the leaf.
    Full,
}

impl Unwinder {
    /// With the default cache.
    pub fn new() -> Self {
        Self::with_cache_bits(BITS)
    }

    /// With a cache of 2^`bits` rules of 24 bytes.
    pub fn with_cache_bits(bits: u32) -> Self {
        Self { cache: RuleCache::new(bits), context: Box::new(Context::new()), depths: HashMap::new() }
    }

    /// Walks from `registers` to the root. Clears and fills `stack`.
    pub fn unwind(
        &mut self,
        registers: &Registers,
        memory: &mut impl Memory,
        modules: &ModuleMap,
        stack: &mut NativeStack,
    ) {
        if !self.by_rules(registers, memory, modules, stack) {
            self.by_all_registers(registers, memory, modules, stack);
        }
    }

    /// The fast walk. `false`: some frame needs more than three registers.
    pub(crate) fn by_rules(
        &mut self,
        registers: &Registers,
        memory: &mut impl Memory,
        modules: &ModuleMap,
        stack: &mut NativeStack,
    ) -> bool {
        stack.frames.clear();
        stack.sps.clear();
        self.context.work.begin();
        let mut guessed = false;
        let mut at = At {
            pc: registers.pc().0,
            sp: registers.sp().0,
            bp: registers.get(RBP),
            kind: PcKind::Exact,
            chained: false,
        };
        let mut near = 0;
        loop {
            let range = match begin(&at, modules, &mut near, stack) {
                Ok(range) => range,
                Err(end) => {
                    finish(stack, end, guessed);
                    return true;
                }
            };
            let step = match &range.info {
                Some(info) => {
                    let pc = lookup_address(&at, range);
                    let context = &mut self.context;
                    let rule = self.cache.get_or_make(info.id(), pc, || lookup::rule(info, context, pc));
                    if let Some(up) = usual_step(rule, &at, memory) {
                        debug_assert!(up.sp > at.sp, "a frame below its callee");
                        at = up;
                        continue;
                    }
                    if at.bp.is_none() && rule.needs_rbp() {
                        at.bp = recover_rbp(&mut self.depths, &mut self.context.work, info, pc, &at, memory, modules);
                        guessed |= at.bp.is_some();
                    }
                    follow(*rule, &at, memory, modules, stack.frames.len() == 1)
                }
                None if range.module.is_some() => Step::End(StackEnd::Truncated(Truncation::ModuleUnreadable)),
                None => without_info(&at, memory, modules, stack.frames.len() == 1),
            };
            if let Step::Up(up) | Step::Guessed(up) = &step {
                debug_assert!(up.sp > at.sp, "a frame below its callee");
            }
            match step {
                Step::Up(up) => at = up,
                Step::Guessed(up) => {
                    guessed = true;
                    at = up;
                }
                Step::End(end) => {
                    finish(stack, end, guessed);
                    return true;
                }
                Step::Full => return false,
            }
        }
    }

    /// The exact walk.
    pub(crate) fn by_all_registers(
        &mut self,
        leaf: &Registers,
        memory: &mut impl Memory,
        modules: &ModuleMap,
        stack: &mut NativeStack,
    ) {
        stack.frames.clear();
        stack.sps.clear();
        self.context.work.begin();
        let mut guessed = false;
        let mut registers = *leaf;
        let mut kind = PcKind::Exact;
        let mut chained = false;
        let mut near = 0;
        loop {
            let at = At { pc: registers.pc().0, sp: registers.sp().0, bp: registers.get(RBP), kind, chained };
            let range = match begin(&at, modules, &mut near, stack) {
                Ok(range) => range,
                Err(end) => return finish(stack, end, guessed),
            };
            let innermost = stack.frames.len() == 1;
            let up = match &range.info {
                Some(info) => {
                    let pc = lookup_address(&at, range);
                    let unknown = Up::End(StackEnd::Truncated(Truncation::RegisterUnknown));
                    let mut up = self.full_step(info, pc, &registers, memory);
                    if up == unknown && at.bp.is_none() {
                        let bp = recover_rbp(&mut self.depths, &mut self.context.work, info, pc, &at, memory, modules);
                        if bp.is_some() {
                            guessed = true;
                            registers.set(RBP, bp);
                            up = self.full_step(info, pc, &registers, memory);
                        }
                    }
                    up
                }
                None if range.module.is_some() => Up::End(StackEnd::Truncated(Truncation::ModuleUnreadable)),
                None => Up::NoInfo,
            };
            match up {
                Up::End(end) => return finish(stack, end, guessed),
                Up::Frame(next, signal) => {
                    // A leaf may have taken its return address off the stack already (vfork).
                    let stands = next.sp().0 == at.sp && innermost;
                    if !signal && next.sp().0 <= at.sp && !stands {
                        return finish(stack, StackEnd::Truncated(Truncation::NoProgress), guessed);
                    }
                    kind = if signal { PcKind::Exact } else { PcKind::Return };
                    chained = false;
                    registers = next;
                }
                Up::NoInfo => match without_info(&at, memory, modules, innermost) {
                    Step::Up(up) | Step::Guessed(up) => {
                        guessed = true;
                        kind = up.kind;
                        chained = up.chained;
                        registers.set(RA, Some(up.pc));
                        registers.set(RSP, Some(up.sp));
                        registers.set(RBP, up.bp);
                    }
                    Step::End(end) => return finish(stack, end, guessed),
                    Step::Full => return finish(stack, StackEnd::Truncated(Truncation::BadUnwindInfo), guessed),
                },
            }
        }
    }

    fn full_step(&mut self, info: &UnwindInfo, pc: u64, registers: &Registers, memory: &mut impl Memory) -> Up {
        let stepped = lookup::with_row(info, &mut self.context, pc, |row, found, signal| {
            let up = match found {
                Found::Eh(section) => full::step(row, &section, registers, memory),
                Found::Debug(section) => full::step(row, &section, registers, memory),
            };
            up.map(|up| (up, signal))
        });
        match stepped {
            Ok(Some(Ok((Some(up), signal)))) => Up::Frame(up, signal),
            Ok(Some(Ok((None, _)))) => Up::End(StackEnd::Complete),
            Ok(Some(Err(Failed::Register))) => Up::End(StackEnd::Truncated(Truncation::RegisterUnknown)),
            Ok(Some(Err(Failed::Memory))) => Up::End(StackEnd::Truncated(Truncation::BeyondCopy)),
            Ok(Some(Err(Failed::Bad))) | Err(_) => Up::End(StackEnd::Truncated(Truncation::BadUnwindInfo)),
            Ok(None) => Up::NoInfo,
        }
    }
}

/// A step of the exact walk.
#[derive(PartialEq, Eq)]
enum Up {
    Frame(Registers, bool),
    NoInfo,
    End(StackEnd),
}

/// Notes the frame and finds its code; or says that the walk is over.
#[inline]
fn begin<'m>(
    at: &At,
    modules: &'m ModuleMap,
    near: &mut usize,
    stack: &mut NativeStack,
) -> Result<&'m MappedRange, StackEnd> {
    // By convention a return address of 0 ends a stack; a leaf at 0 has jumped through a null pointer.
    if at.pc == 0 && at.kind == PcKind::Return {
        return Err(StackEnd::Complete);
    }
    let mut frame = NativeFrame { pc: RemoteAddr(at.pc), kind: at.kind, module: None };
    let range = modules.find_near(frame.lookup(), near);
    if range.is_none() && at.kind == PcKind::Return {
        // No code is there: it was no return address.
        return Err(StackEnd::Truncated(Truncation::NoModule));
    }
    if stack.frames.len() >= FRAMES_MAX {
        return Err(StackEnd::Truncated(Truncation::TooDeep));
    }
    frame.module = range.and_then(|range| range.module);
    stack.frames.push(frame);
    stack.sps.push(RemoteAddr(at.sp));
    range.ok_or(StackEnd::Truncated(Truncation::NoModule))
}

fn finish(stack: &mut NativeStack, end: StackEnd, guessed: bool) {
    stack.end = if end == StackEnd::Complete && guessed { StackEnd::Guessed } else { end };
}

fn lookup_address(at: &At, range: &MappedRange) -> u64 {
    let back = u64::from(at.kind == PcKind::Return);
    let FileAddr(address) = range.bias.to_file(RemoteAddr(at.pc.wrapping_sub(back)));
    address
}

/// rbp of a frame whose callee has not kept it, from the frame's own code; only if it leads to a call.
fn recover_rbp(
    depths: &mut Depths,
    work: &mut Work,
    info: &UnwindInfo,
    file_pc: u64,
    at: &At,
    memory: &mut impl Memory,
    modules: &ModuleMap,
) -> Option<u64> {
    if at.kind != PcKind::Return {
        return None;
    }
    let key = (info.id(), file_pc);
    let depth = if let Some(known) = depths.get(&key) {
        *known
    } else {
        let depth = decode_depth(work, info, file_pc, at, memory)?;
        if depths.len() >= DEPTHS_MAX {
            depths.clear();
        }
        depths.insert(key, depth);
        depth
    };
    let bp = at.sp.checked_add(depth?)?;
    let pc = read_word(memory, bp.checked_add(8)?)?;
    let mut before = [0; 7];
    let called = is_code(pc, modules) && memory.read_code(RemoteAddr(pc.wrapping_sub(7)), &mut before);
    (called && prologue::ends_in_call(&before)).then_some(bp)
}

/// The outer `None`: the code could not be read, or this walk has read enough, so try again.
#[allow(clippy::option_option, reason = "not read and not told are two answers")]
fn decode_depth(
    work: &mut Work,
    info: &UnwindInfo,
    file_pc: u64,
    at: &At,
    memory: &mut impl Memory,
) -> Option<Option<u64>> {
    let (start, len) = lookup::function(info, file_pc)?;
    let len = usize::try_from(len.min(prologue::CODE_MAX)).ok()?;
    if !work.take(len) {
        return None;
    }
    let mut code = vec![0; len];
    // One past the looked-up byte is where the call returns to.
    let into = file_pc.wrapping_add(1).wrapping_sub(start);
    let begin = at.pc.wrapping_sub(into);
    memory.read_code(RemoteAddr(begin), &mut code).then(|| prologue::rbp_above_rsp(&code, begin, at.pc))
}

/// Applies a rule of the two forms that nearly every frame has. `None`: [`follow`] has to say.
///
/// Twice as fast as everything in one function: the position stays in registers.
#[inline]
fn usual_step(rule: &Rule, at: &At, memory: &mut impl Memory) -> Option<At> {
    let base = match rule.cfa {
        Cfa::Sp => at.sp,
        Cfa::Fp => at.bp?,
        _ => return None,
    };
    let cfa = base.wrapping_add_signed(rule.a.into());
    if cfa <= at.sp {
        return None;
    }
    let pc = read_word(memory, cfa.wrapping_sub(8))?;
    let bp = match rule.rbp {
        Rbp::Same => at.bp,
        Rbp::AtCfa => Some(read_word(memory, cfa.wrapping_add_signed(rule.c.into()))?),
        Rbp::AtFp | Rbp::Lost => return None,
    };
    Some(At { pc, sp: cfa, bp, ..at.caller() })
}

/// Applies a rule.
#[inline(never)]
fn follow(rule: Rule, at: &At, memory: &mut impl Memory, modules: &ModuleMap, innermost: bool) -> Step {
    let needs_bp = |bp: Option<u64>| bp.ok_or(Step::End(StackEnd::Truncated(Truncation::RegisterUnknown)));
    let cfa = match rule.cfa {
        Cfa::Sp => Ok(at.sp.wrapping_add_signed(rule.a.into())),
        Cfa::Fp => needs_bp(at.bp).map(|bp| bp.wrapping_add_signed(rule.a.into())),
        Cfa::DerefFp => needs_bp(at.bp).and_then(|bp| deref(memory, bp, rule)),
        Cfa::DerefSp => deref(memory, at.sp, rule),
        Cfa::Root => Err(Step::End(StackEnd::Complete)),
        Cfa::None => Err(without_info(at, memory, modules, innermost)),
        Cfa::Start => Err(at_start(at, memory, modules, innermost)),
        Cfa::Bad => Err(Step::End(StackEnd::Truncated(Truncation::BadUnwindInfo))),
        Cfa::Full => Err(Step::Full),
    };
    let cfa = match cfa {
        Ok(cfa) => cfa,
        Err(step) => return step,
    };
    if cfa <= at.sp {
        return Step::End(StackEnd::Truncated(Truncation::NoProgress));
    }
    let beyond = || Step::End(StackEnd::Truncated(Truncation::BeyondCopy));
    let Some(pc) = read_word(memory, cfa.wrapping_sub(8)) else { return beyond() };
    let bp = match rule.rbp {
        Rbp::Same => at.bp,
        Rbp::AtCfa => read_word(memory, cfa.wrapping_add_signed(rule.c.into())),
        Rbp::AtFp => at.bp.and_then(|bp| read_word(memory, bp.wrapping_add_signed(rule.c.into()))),
        Rbp::Lost => None,
    };
    Step::Up(At { pc, sp: cfa, bp, ..at.caller() })
}

fn deref(memory: &mut impl Memory, base: u64, rule: Rule) -> Result<u64, Step> {
    let word = read_word(memory, base.wrapping_add_signed(rule.a.into()));
    let word = word.ok_or(Step::End(StackEnd::Truncated(Truncation::BeyondCopy)))?;
    Ok(word.wrapping_add_signed(rule.b.into()))
}

/// Code that nothing describes. What it does next tells, if that is to return. Else the innermost frame may be a stub that
/// has pushed nothing, then `[rsp]` is where it returns to; else the frame pointer is tried. Any of them only when what it
/// leads to is plausible: a call was made there.
fn without_info(at: &At, memory: &mut impl Memory, modules: &ModuleMap, innermost: bool) -> Step {
    if let Some(up) = at_end(at, memory, modules) {
        return Step::Guessed(up);
    }
    if innermost
        && let Some(pc) = read_word(memory, at.sp)
        && is_called(pc, memory, modules)
    {
        return Step::Guessed(At { pc, sp: at.sp.wrapping_add(8), bp: at.bp, ..at.caller() });
    }
    let Some(bp) = at.bp else { return Step::End(StackEnd::Truncated(Truncation::RegisterUnknown)) };
    if bp == 0 && at.chained {
        // The deepest frame has a frame pointer of 0 (System V ABI AMD64, 3.4.1).
        return Step::End(StackEnd::Guessed);
    }
    let no_info = Step::End(StackEnd::Truncated(Truncation::NoUnwindInfo));
    if bp < at.sp || bp % 8 != 0 || bp.wrapping_sub(at.sp) > FRAME_MAX {
        return no_info;
    }
    let (Some(next), Some(pc)) = (read_word(memory, bp), read_word(memory, bp.wrapping_add(8))) else {
        return Step::End(StackEnd::Truncated(Truncation::BeyondCopy));
    };
    // A chain of frame pointers goes up, or to 0. It need not where it comes to code that has a description again: rbp is
    // any register there.
    let chained = next > bp || next == 0;
    // Generated code may push a return address and jump, as HotSpot's interpreter does.
    let returns = is_called(pc, memory, modules) || next > bp && is_generated(pc, modules);
    if !returns || !chained && !is_described(pc, modules) {
        return no_info;
    }
    Step::Guessed(At { pc, sp: bp.wrapping_add(16), bp: Some(next), chained, ..at.caller() })
}

/// The caller of a function that only returns from here on.
fn at_end(at: &At, memory: &mut impl Memory, modules: &ModuleMap) -> Option<At> {
    let mut code = [0; epilogue::CODE_LEN];
    if !memory.read_code(RemoteAddr(at.pc), &mut code) {
        return None;
    }
    let end = epilogue::epilogue(&code)?;
    let address = |place: Place| if place.of_rbp { at.bp? } else { at.sp }.checked_add(place.offset);
    let returns = address(end.returns)?;
    let sp = returns.checked_add(end.released).filter(|sp| *sp > at.sp && sp.wrapping_sub(at.sp) <= FRAME_MAX)?;
    let pc = read_word(memory, returns)?;
    if !is_called(pc, memory, modules) && !is_generated(pc, modules) {
        return None;
    }
    let Some(kept) = end.rbp else { return Some(At { pc, sp, chained: at.chained, kind: PcKind::Return, ..*at }) };
    let kept = address(kept)?;
    let bp = read_word(memory, kept)?;
    Some(At { pc, sp, bp: Some(bp), kind: PcKind::Return, chained: bp == 0 || bp > kept })
}

/// Just before a root. In the parent `clone3` has pushed nothing; in the child, which begins behind the system call, there
/// is nothing to return to.
fn at_start(at: &At, memory: &mut impl Memory, modules: &ModuleMap, innermost: bool) -> Step {
    const SYSCALL: [u8; 2] = [0x0f, 0x05];
    if !innermost {
        return without_info(at, memory, modules, innermost);
    }
    if let Some(pc) = read_word(memory, at.sp)
        && is_called(pc, memory, modules)
    {
        return Step::Guessed(At { pc, sp: at.sp.wrapping_add(8), bp: at.bp, ..at.caller() });
    }
    let mut before = [0; 16];
    let begins = memory.read_code(RemoteAddr(at.pc.wrapping_sub(16)), &mut before)
        && before.windows(2).any(|code| *code == SYSCALL);
    if begins { Step::End(StackEnd::Guessed) } else { without_info(at, memory, modules, innermost) }
}

/// Whether code is there that no file holds.
fn is_generated(pc: u64, modules: &ModuleMap) -> bool {
    modules.find(RemoteAddr(pc.wrapping_sub(1))).is_some_and(|range| range.module.is_none())
}

/// Whether a return address may be one: a call is before it. Where code cannot be read: code is there.
fn is_called(pc: u64, memory: &mut impl Memory, modules: &ModuleMap) -> bool {
    let mut before = [0; 7];
    is_code(pc, modules)
        && (!memory.read_code(RemoteAddr(pc.wrapping_sub(7)), &mut before) || prologue::ends_in_call(&before))
}

/// Whether a return address is in a function that has a description.
fn is_described(pc: u64, modules: &ModuleMap) -> bool {
    let Some(range) = modules.find(RemoteAddr(pc.wrapping_sub(1))) else { return false };
    let FileAddr(at) = range.bias.to_file(RemoteAddr(pc.wrapping_sub(1)));
    range.info.as_ref().is_some_and(|info| matches!(info.find(at), Ok(Some(_))))
}

/// Whether a return address may be one: the byte before it is code.
fn is_code(pc: u64, modules: &ModuleMap) -> bool {
    modules.find(RemoteAddr(pc.wrapping_sub(1))).is_some()
}
