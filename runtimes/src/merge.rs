//! One stack from two: the frames of a language runtime put where they really were among the native ones. Goes by
//! addresses and ranges alone; neither reads memory nor knows a name.

use profile::{
    address::RemoteAddr,
    stack::{Gap, NativeFrame, NativeStack, RawFrame, RawStack, StackEnd},
};

/// What the root frame of a complete stack may span at most: where it ends is not known, and an eval loop has less than a
/// thousand bytes. A mark above it lies on another stack.
const ROOT_AREA_MAX: u64 = 64 << 10;

/// Language frames of one activation of the eval loop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Activation {
    /// Leaf first.
    pub frames: Vec<RawFrame>,
    /// The address of what the activation left on the C stack; `None` where the runtime leaves nothing.
    pub mark: Option<RemoteAddr>,
}

/// Puts each activation in the place of the native frame on whose part of the stack its mark lies: the eval loop itself. From
/// the first without such a place on (marks of a parked greenlet, a stack that was cut), all stand behind a gap.
pub fn by_marks(native: &NativeStack, activations: &[Activation]) -> RawStack {
    let mut from = 0;
    let mut placed = Vec::with_capacity(activations.len());
    for activation in activations {
        let Some(place) = activation.mark.and_then(|mark| holder(native, from, mark)) else { break };
        from = place;
        placed.push((place, activation.frames.as_slice()));
    }
    let rest = activations.iter().skip(placed.len()).flat_map(|activation| &activation.frames);
    weave(native, &placed, rest.copied())
}

/// Puts one language frame in the place of each activation of the eval loop, for runtimes that call it once for each (CPython
/// 3.9 and older). `is_eval` says which native frames are such activations; `held`, asked only where there are more of those
/// than frames, gives for a frame the highest place on the C stack that points at it.
pub fn by_activations(
    native: &NativeStack,
    is_eval: impl Fn(&NativeFrame) -> bool,
    frames: &[RawFrame],
    held: impl Fn() -> Vec<Option<RemoteAddr>>,
) -> RawStack {
    let evals = native.frames.iter().enumerate().filter(|(_, frame)| is_eval(frame));
    let mut places: Vec<_> = evals.map(|(place, _)| place).collect();
    if places.len() > frames.len() && is_entering(native, &places, &held()) {
        places.remove(0);
    }
    // How many activations those have that were left out is known, but not which.
    let counted = frames.iter().take_while(|frame| !matches!(frame, RawFrame::Omitted(_))).count();
    let placed: Vec<_> = places.into_iter().zip(frames.chunks(1)).take(counted).collect();
    let rest = frames.iter().skip(placed.len());
    weave(native, &placed, rest.copied())
}

/// Whether the activation at the leaf has yet to make its frame the current one, or has it no longer. If not, those too many
/// are at the root side: of the program that a sub-interpreter was called from. Each activation holds its frame until it
/// ends, and no caller of its caller does: so where a frame is held by nobody beyond the first activation, that one runs it;
/// an old pointer in a part of the stack that nobody wrote to again lies farther up, and shows nothing.
fn is_entering(native: &NativeStack, places: &[usize], held: &[Option<RemoteAddr>]) -> bool {
    let start = |place: &usize| native.sps.get(*place).copied().unwrap_or(RemoteAddr(0));
    let runs = |(next, held): (&usize, &Option<RemoteAddr>)| held.is_some_and(|at| at < start(next));
    !held.is_empty() && !places.iter().skip(1).zip(held).any(runs)
}

/// The native frame, not before `from`, on whose part of the stack `mark` lies. Stack pointers need not rise: a signal
/// handler may have a stack of its own.
fn holder(native: &NativeStack, from: usize, mark: RemoteAddr) -> Option<usize> {
    let is_whole = !matches!(native.end, StackEnd::Truncated(_)) && native.sps.len() >= native.frames.len();
    let known = native.sps.len().min(native.frames.len());
    let holds = |place: &usize| {
        let start = native.sps.get(*place).is_some_and(|sp| *sp <= mark);
        let end = match native.sps.get(place.saturating_add(1)) {
            Some(next) => Some(*next),
            None if is_whole => native.sps.get(*place).map(|sp| RemoteAddr(sp.0.saturating_add(ROOT_AREA_MAX))),
            None => None,
        };
        start && end.is_some_and(|end| mark < end)
    };
    (from..known).find(holds)
}

/// Writes the native frames, with language frames in the place of some. `placed` is in order of the places. Where `rest` has
/// no place, a gap says so; not if there are no native frames to have one among.
fn weave(native: &NativeStack, placed: &[(usize, &[RawFrame])], rest: impl Iterator<Item = RawFrame>) -> RawStack {
    let languages: usize = placed.iter().map(|(_, frames)| frames.len()).sum();
    let mut frames = Vec::with_capacity(native.frames.len().saturating_add(languages));
    let mut next = 0;
    // An activation without frames yet takes nobody's place.
    for (place, of_activation) in placed.iter().filter(|(_, frames)| !frames.is_empty()) {
        // None where a frame holds two marks, which only a forged stack does.
        frames.extend(natives(native.frames.get(next..*place)));
        frames.extend_from_slice(of_activation);
        next = place.saturating_add(1);
    }
    frames.extend(natives(native.frames.get(next..)));
    let mut rest = rest.peekable();
    let mut end = native.end;
    if rest.peek().is_some() && !native.frames.is_empty() {
        let gap = Gap::Unplaced(native.end.truncation());
        frames.push(RawFrame::Gap(gap));
        end = StackEnd::Gap(gap);
    }
    frames.extend(rest);
    RawStack { frames, end }
}

fn natives(frames: Option<&[NativeFrame]>) -> impl Iterator<Item = RawFrame> {
    frames.unwrap_or_default().iter().copied().map(RawFrame::Native)
}

#[cfg(test)]
mod tests {
    use profile::{
        code::CodeIndex,
        stack::{CodeFrame, PcKind, Truncation},
    };
    use proptest::prelude::*;

    use super::*;

    const CUT: StackEnd = StackEnd::Truncated(Truncation::BeyondCopy);

    fn code(index: u32) -> RawFrame {
        RawFrame::Code(CodeFrame { code: CodeIndex(index), line: None })
    }

    fn native(pc: u64) -> NativeFrame {
        NativeFrame { pc: RemoteAddr(pc), kind: PcKind::Return, module: None }
    }

    /// Native frames by number, each with its stack pointer.
    fn stack(frames: &[(u64, u64)], end: StackEnd) -> NativeStack {
        let sps = frames.iter().map(|(_, sp)| RemoteAddr(*sp)).collect();
        NativeStack { frames: frames.iter().map(|(pc, _)| native(*pc)).collect(), sps, end }
    }

    fn activation(codes: &[u32], mark: Option<u64>) -> Activation {
        Activation { frames: codes.iter().copied().map(code).collect(), mark: mark.map(RemoteAddr) }
    }

    fn text(merged: &RawStack) -> String {
        let frame = |frame: &RawFrame| match frame {
            RawFrame::Native(frame) => format!("n{} ", frame.pc.0),
            RawFrame::Code(frame) => format!("p{} ", frame.code.0),
            RawFrame::Omitted(frames) => format!("[{frames}] "),
            RawFrame::Gap(_) => "| ".to_owned(),
        };
        merged.frames.iter().map(frame).collect::<String>() + &merged.end.to_string()
    }

    /// A callback from C into Python: 3 and 6 are the eval loop. Then what happens to it when something is amiss.
    #[test]
    fn marks() {
        let frames = [(1, 100), (2, 200), (3, 300), (4, 400), (5, 500), (6, 600), (7, 700)];
        let whole = stack(&frames, StackEnd::Complete);
        let rows: [(&str, &[Activation], &str); 10] = [
            (
                "callback",
                &[activation(&[1, 2], Some(320)), activation(&[3], Some(600))],
                "n1 n2 p1 p2 n4 n5 p3 n7 complete",
            ),
            ("mark at the end", &[activation(&[1], Some(399))], "n1 n2 p1 n4 n5 n6 n7 complete"),
            (
                "no frames yet",
                &[activation(&[], Some(320)), activation(&[3], Some(600))],
                "n1 n2 n3 n4 n5 p3 n7 complete",
            ),
            ("no marks", &[activation(&[1, 2], None)], "n1 n2 n3 n4 n5 n6 n7 | p1 p2 unplaced"),
            ("empty last", &[activation(&[1], Some(320)), activation(&[], None)], "n1 n2 p1 n4 n5 n6 n7 complete"),
            (
                "below the leaf",
                &[activation(&[1], Some(99)), activation(&[2], Some(600))],
                "n1 n2 n3 n4 n5 n6 n7 | p1 p2 unplaced",
            ),
            (
                "falling",
                &[activation(&[1], Some(600)), activation(&[2], Some(320))],
                "n1 n2 n3 n4 n5 p1 n7 | p2 unplaced",
            ),
            (
                "twice one",
                &[activation(&[1], Some(320)), activation(&[2], Some(320))],
                "n1 n2 p1 p2 n4 n5 n6 n7 complete",
            ),
            ("at the root", &[activation(&[1], Some(700))], "n1 n2 n3 n4 n5 n6 p1 complete"),
            ("another stack", &[activation(&[1], Some(700 + ROOT_AREA_MAX))], "n1 n2 n3 n4 n5 n6 n7 | p1 unplaced"),
        ];
        for (what, activations, expected) in rows {
            assert_eq!(text(&by_marks(&whole, activations)), expected, "{what}");
        }
        let activations = [activation(&[1, 2], Some(320)), activation(&[3], Some(600)), activation(&[4], Some(900))];
        let cut = stack(&frames[..6], CUT);
        assert_eq!(text(&by_marks(&cut, &activations)), "n1 n2 p1 p2 n4 n5 n6 | p3 p4 unplaced: beyond_copy");
        assert_eq!(text(&by_marks(&NativeStack::new(), &activations)), "p1 p2 p3 p4 complete");
    }

    /// Check that a handler on a stack of its own, here above that of the program, hides nothing.
    #[test]
    fn signal_stack() {
        let whole = stack(&[(1, 9000), (2, 9100), (3, 100), (4, 200)], StackEnd::Complete);
        let activations = [activation(&[1], Some(9050)), activation(&[2], Some(150))];
        assert_eq!(text(&by_marks(&whole, &activations)), "p1 n2 p2 n4 complete");
    }

    /// One frame an activation; more frames than activations; more activations than frames: of a program around it, or one at
    /// the leaf that is being entered.
    #[test]
    fn activations() {
        let whole = stack(&[(1, 10), (12, 20), (3, 30), (14, 40), (5, 50), (16, 60), (7, 70)], StackEnd::Complete);
        let merged = |frames: &[RawFrame], held: &[u64]| {
            let held = || held.iter().map(|at| (*at > 0).then_some(RemoteAddr(*at))).collect();
            text(&by_activations(&whole, |frame| frame.pc.0 > 10, frames, held))
        };
        let three = [code(1), code(2), code(3)];
        assert_eq!(merged(&three, &[]), "n1 p1 n3 p2 n5 p3 n7 complete");
        let four = [&three[..], &[code(4)]].concat();
        assert_eq!(merged(&four, &[]), "n1 p1 n3 p2 n5 p3 n7 | p4 unplaced");
        let deep = [code(1), RawFrame::Omitted(7), code(2)];
        assert_eq!(merged(&deep, &[]), "n1 p1 n3 n14 n5 n16 n7 | [7] p2 unplaced");
        // Held by the activation itself, or by its caller; one of them also in what former calls left.
        let around = "n1 p1 n3 p2 n5 n16 n7 complete";
        assert_eq!([[25, 45], [35, 55], [75, 55]].map(|held| merged(&three[..2], &held)), [around; 3]);
        let entered = "n1 n12 n3 p1 n5 p2 n7 complete";
        assert_eq!([[45, 65], [55, 75], [75, 0]].map(|held| merged(&three[..2], &held)), [entered; 3]);
        assert_eq!(merged(&three[..1], &[25]), "n1 p1 n3 n14 n5 n16 n7 complete");
        assert_eq!(merged(&[], &[]), "n1 n12 n3 n14 n5 n16 n7 complete");
    }

    /// A frame of a true stack: how large, and for an activation of the eval loop its Python frames and where its mark is.
    type Truth = (u16, Option<(u8, u16)>);

    fn truths() -> impl Strategy<Value = Vec<Truth>> {
        let activation = prop::option::of((1..5_u8, any::<u16>()));
        prop::collection::vec((8..2000_u16, activation), 0..60)
    }

    /// What the two walkers would find of a true stack that is cut behind `kept` native frames, and the stack itself.
    fn views(truths: &[Truth], kept: usize) -> (NativeStack, Vec<Activation>, Vec<RawFrame>) {
        let (mut sp, mut codes) = (0x7ffc_0000_0000_u64, 0..);
        let mut found = stack(&[], if kept < truths.len() { CUT } else { StackEnd::Complete });
        let (mut activations, mut expected, mut behind) = (Vec::new(), Vec::new(), Vec::new());
        for (pc, (size, eval)) in (0_u64..).zip(truths) {
            // The last frame that is there has no end: nothing is put in its place.
            let is_placed = found.frames.len() + 1 < kept || kept >= truths.len();
            let is_there = found.frames.len() < kept;
            if is_there {
                found.frames.push(native(pc));
                found.sps.push(RemoteAddr(sp));
            }
            if let Some((frames, mark)) = eval {
                let frames: Vec<_> = codes.by_ref().take(usize::from(*frames)).map(code).collect();
                if is_placed { &mut expected } else { &mut behind }.extend(frames.iter().copied());
                activations.push(Activation { frames, mark: Some(RemoteAddr(sp + u64::from(mark % size))) });
            }
            if is_there && (eval.is_none() || !is_placed) {
                expected.push(RawFrame::Native(native(pc)));
            }
            sp += u64::from(*size);
        }
        if !behind.is_empty() && !found.frames.is_empty() {
            expected.push(RawFrame::Gap(Gap::Unplaced(found.end.truncation())));
        }
        expected.extend(behind);
        (found, activations, expected)
    }

    fn hostile_activations() -> impl Strategy<Value = Vec<Activation>> {
        let codes = prop::collection::vec(any::<u32>().prop_map(code), 0..5);
        let mark = prop::option::of(prop_oneof![0..600_u64, any::<u64>()].prop_map(RemoteAddr));
        prop::collection::vec((codes, mark).prop_map(|(frames, mark)| Activation { frames, mark }), 0..30)
    }

    fn hostile_stack() -> impl Strategy<Value = NativeStack> {
        let address = || prop_oneof![0..600_u64, any::<u64>()];
        let frames = prop::collection::vec(address().prop_map(native), 0..40);
        let sps = prop::collection::vec(address().prop_map(RemoteAddr), 0..45);
        let end = prop_oneof![Just(StackEnd::Complete), Just(StackEnd::Guessed), Just(CUT)];
        (frames, sps, end).prop_map(|(frames, sps, end)| NativeStack { frames, sps, end })
    }

    fn languages<'f>(frames: impl IntoIterator<Item = &'f RawFrame>) -> Vec<RawFrame> {
        let is_language = |frame: &&RawFrame| !matches!(frame, RawFrame::Native(_) | RawFrame::Gap(_));
        frames.into_iter().filter(is_language).copied().collect()
    }

    fn is_subsequence(part: &[NativeFrame], whole: &[NativeFrame]) -> bool {
        let mut left = whole.iter();
        part.iter().all(|frame| left.any(|other| other == frame))
    }

    proptest! {
        /// Check that a stack taken apart is put together again, whole or cut.
        #[test]
        fn as_it_was(truths in truths(), kept in 0..80_usize) {
            let (native, activations, expected) = views(&truths, kept);
            prop_assert_eq!(by_marks(&native, &activations).frames, expected);
        }

        /// Check that 3.9's way agrees, where each activation has one frame.
        #[test]
        fn by_counting(truths in truths()) {
            let single: Vec<Truth> = truths.iter().map(|(size, eval)| (*size, eval.map(|(_, mark)| (1, mark)))).collect();
            let (native, activations, expected) = views(&single, usize::MAX);
            let truth = |frame: &NativeFrame| single.get(usize::try_from(frame.pc.0).ok()?)?.1;
            let is_eval = |frame: &NativeFrame| truth(frame).is_some();
            let frames: Vec<_> = activations.iter().flat_map(|activation| &activation.frames).copied().collect();
            let merged = by_activations(&native, is_eval, &frames, Vec::new);
            prop_assert_eq!(merged, RawStack { frames: expected, end: StackEnd::Complete });
        }

        /// Check that forged stacks and marks neither lose, double nor reorder a frame of the language, and no native one is
        /// doubled or reordered.
        #[test]
        fn hostile(native in hostile_stack(), activations in hostile_activations(), mask in any::<u64>()) {
            let given = languages(activations.iter().flat_map(|activation| &activation.frames));
            let held = || native.sps.iter().rev().map(|sp| Some(*sp)).collect();
            let counted = by_activations(&native, |frame| mask >> (frame.pc.0 % 64) & 1 == 1, &given, held);
            for merged in [by_marks(&native, &activations), counted] {
                prop_assert_eq!(languages(&merged.frames), given.clone());
                let natives: Vec<_> = merged.frames.iter().filter_map(RawFrame::native).copied().collect();
                prop_assert!(is_subsequence(&natives, &native.frames));
            }
        }
    }
}
