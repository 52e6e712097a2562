//! The section of names: texts, frames, stacks as a trie, threads and states. The other sections refer to it.

use std::sync::Arc;

use super::bytes::{Broken, Reader, Writer, unpack};

/// More frames are refused; a chunk of 50 MiB has not so many.
const FRAMES_MAX: usize = 4 << 20;
/// More nodes are refused: memory for what is 64 MiB.
const NODES_MAX: usize = 8 << 20;
/// More texts are refused.
const TEXTS_MAX: usize = 4 << 20;
/// More threads are refused; Linux has no more process ids (`PID_MAX_LIMIT`).
const THREADS_MAX: usize = 4 << 20;
/// More states are refused: samples refer to them by 16 bits.
const STATES_MAX: usize = 1 << 16;

/// Names and stacks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Symbols {
    /// Distinct texts.
    pub texts: Texts,
    /// Frames.
    pub frames: Vec<Frame>,
    /// Stacks: node 0 is the empty one and not in here; node `n` is at `n - 1`, behind its parent.
    pub nodes: Vec<Node>,
    /// Threads.
    pub threads: Vec<Thread>,
    /// Thread states, as texts.
    pub states: Vec<u32>,
}

/// Texts one behind the other.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Texts {
    all: String,
    ends: Vec<u32>,
}

/// A reference to a text: 0 is none, `n` is text `n - 1`.
pub type TextRef = u32;

/// A frame; see `profile::received::Frame`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Frame {
    /// Function, module, package, filename, abs_path, platform.
    pub texts: [TextRef; 6],
    /// Line; 0: none.
    pub line: u32,
    /// Column and one; 0: none.
    pub column: u64,
    /// Whether there is an address.
    pub has_address: bool,
    /// Address.
    pub address: u64,
    /// 0: not said, 1: no, 2: yes.
    pub in_app: u8,
}

/// A frame in a stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Node {
    /// The node that called it.
    pub parent: u32,
    /// Index into the frames.
    pub frame: u32,
}

/// A thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thread {
    /// Its id.
    pub id: TextRef,
    /// Its name.
    pub name: TextRef,
}

impl Frame {
    /// Function.
    pub fn function(&self) -> TextRef {
        self.texts[0]
    }

    /// Module.
    pub fn module(&self) -> TextRef {
        self.texts[1]
    }

    /// Package.
    pub fn package(&self) -> TextRef {
        self.texts[2]
    }

    /// Short path.
    pub fn file(&self) -> TextRef {
        self.texts[3]
    }

    /// Whole path.
    pub fn path(&self) -> TextRef {
        self.texts[4]
    }

    /// A platform of its own.
    pub fn platform(&self) -> TextRef {
        self.texts[5]
    }

    pub(super) fn forget_platform(&mut self) {
        self.texts[5] = 0;
    }
}

impl Texts {
    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds one and gives the reference to it.
    pub fn push(&mut self, text: &str) -> TextRef {
        self.all.push_str(text);
        self.ends.push(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    /// What a reference refers to.
    pub fn get(&self, reference: TextRef) -> Option<&str> {
        let at = (reference as usize).checked_sub(1)?;
        let to = *self.ends.get(at)? as usize;
        let from = at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        self.all.get(from..to)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let mut from = 0;
        self.ends.iter().map(move |end| {
            let text = self.all.get(from..*end as usize).unwrap_or_default();
            from = *end as usize;
            text
        })
    }

    /// A shared copy of one.
    pub(super) fn shared(&self, reference: TextRef) -> Option<Arc<str>> {
        self.get(reference).map(Arc::from)
    }

    fn encode(&self, writer: &mut Writer) {
        writer.number(self.ends.len() as u64);
        let mut before = 0;
        let lengths: Vec<u64> =
            self.ends.iter().map(|end| u64::from(end - std::mem::replace(&mut before, *end))).collect();
        writer.column(lengths.iter().copied());
        writer.raw(self.all.as_bytes());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Broken> {
        let count = reader.count(TEXTS_MAX, "texts")?;
        let mut ends = reader.column32(count)?;
        let all = str::from_utf8(reader.raw()?).map_err(|_| Broken::Text)?;
        let mut sum = 0_u32;
        for end in &mut ends {
            sum = sum.checked_add(*end).ok_or(Broken::Number)?;
            *end = sum;
            if !all.is_char_boundary(sum as usize) {
                return Err(Broken::Text);
            }
        }
        Ok(Self { all: all.to_owned(), ends })
    }
}

impl Symbols {
    /// The parent and the frame of a node; `None` of the empty stack.
    pub fn node(&self, node: u32) -> Option<Node> {
        self.nodes.get((node as usize).checked_sub(1)?).copied()
    }

    /// The section; `None`: too large to be kept.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::default();
        self.texts.encode(&mut writer);
        self.encode_frames(&mut writer);
        writer.number(self.nodes.len() as u64);
        // Most nodes are called by the one before them.
        writer.column((1_u64..).zip(&self.nodes).map(|(at, node)| at - 1 - u64::from(node.parent)));
        writer.column(self.nodes.iter().map(|node| u64::from(node.frame)));
        writer.number(self.threads.len() as u64);
        writer.column(self.threads.iter().map(|thread| u64::from(thread.id)));
        writer.column(self.threads.iter().map(|thread| u64::from(thread.name)));
        writer.number(self.states.len() as u64);
        writer.column(self.states.iter().map(|state| u64::from(*state)));
        writer.pack()
    }

    fn encode_frames(&self, writer: &mut Writer) {
        writer.number(self.frames.len() as u64);
        for field in 0..6 {
            writer.column(self.frames.iter().map(|frame| frame.texts.get(field).copied().map_or(0, u64::from)));
        }
        writer.column(self.frames.iter().map(|frame| u64::from(frame.line)));
        writer.column(self.frames.iter().map(|frame| frame.column));
        writer.column(self.frames.iter().map(|frame| frame.address));
        writer.column(self.frames.iter().map(|frame| u64::from(frame.in_app) | u64::from(frame.has_address) << 2));
    }

    /// Reads the section; whatever it refers to is there.
    pub fn decode(section: &[u8]) -> Result<Self, Broken> {
        let bytes = unpack(section)?;
        let mut reader = Reader::new(&bytes);
        let texts = Texts::decode(&mut reader)?;
        let frames = decode_frames(&mut reader, texts.len())?;
        let nodes = decode_nodes(&mut reader, frames.len())?;
        let threads = decode_threads(&mut reader, texts.len())?;
        let states = reader.count(STATES_MAX, "states")?;
        let states = references(reader.column32(states)?, texts.len())?;
        reader.end()?;
        Ok(Self { texts, frames, nodes, threads, states })
    }
}

/// Checks references to texts.
fn references(column: Vec<u32>, texts: usize) -> Result<Vec<u32>, Broken> {
    match column.iter().max() {
        Some(most) if *most as usize > texts => Err(Broken::Reference("a text")),
        _ => Ok(column),
    }
}

fn decode_frames(reader: &mut Reader<'_>, texts: usize) -> Result<Vec<Frame>, Broken> {
    let count = reader.count(FRAMES_MAX, "frames")?;
    let mut frames = vec![Frame::default(); count];
    for field in 0..6 {
        let column = references(reader.column32(count)?, texts)?;
        for (frame, text) in frames.iter_mut().zip(column) {
            if let Some(place) = frame.texts.get_mut(field) {
                *place = text;
            }
        }
    }
    for (frame, line) in frames.iter_mut().zip(reader.column32(count)?) {
        frame.line = line;
    }
    for (frame, column) in frames.iter_mut().zip(reader.column(count)?) {
        frame.column = column;
    }
    for (frame, address) in frames.iter_mut().zip(reader.column(count)?) {
        frame.address = address;
    }
    for (frame, flags) in frames.iter_mut().zip(reader.column32(count)?) {
        frame.in_app = (flags & 3) as u8;
        frame.has_address = flags & 4 != 0;
    }
    Ok(frames)
}

fn decode_nodes(reader: &mut Reader<'_>, frames: usize) -> Result<Vec<Node>, Broken> {
    let count = reader.count(NODES_MAX, "nodes")?;
    let back = reader.column32(count)?;
    let frame = reader.column32(count)?;
    if frame.iter().max().is_some_and(|most| *most as usize >= frames) {
        return Err(Broken::Reference("a node's frame"));
    }
    let mut nodes = Vec::with_capacity(count);
    for (at, (back, frame)) in (0_u32..).zip(back.into_iter().zip(frame)) {
        let parent = at.checked_sub(back).ok_or(Broken::Reference("a node's parent"))?;
        nodes.push(Node { parent, frame });
    }
    Ok(nodes)
}

fn decode_threads(reader: &mut Reader<'_>, texts: usize) -> Result<Vec<Thread>, Broken> {
    let count = reader.count(THREADS_MAX, "threads")?;
    let ids = references(reader.column32(count)?, texts)?;
    let names = references(reader.column32(count)?, texts)?;
    Ok(ids.into_iter().zip(names).map(|(id, name)| Thread { id, name }).collect())
}
