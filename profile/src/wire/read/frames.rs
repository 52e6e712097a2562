//! The tables of frames and stacks, which both formats share.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

use super::{
    super::{
        limits::{FRAMES_MAX, STACK_FRAMES_MAX, STACKS_MAX},
        refusal::Refusal,
    },
    text::{Address, Interner, Text},
};
use crate::received;

/// A frame of either format.
#[derive(Deserialize, Debug)]
pub(super) struct Frame<'a> {
    #[serde(default, borrow)]
    abs_path: Option<Text<'a>>,
    #[serde(default, alias = "column")]
    colno: Option<u32>,
    #[serde(default, alias = "file", borrow)]
    filename: Option<Text<'a>>,
    #[serde(default, alias = "name", borrow)]
    function: Option<Text<'a>>,
    #[serde(default)]
    in_app: Option<bool>,
    #[serde(default)]
    instruction_addr: Option<Address>,
    #[serde(default, alias = "line")]
    lineno: Option<u32>,
    #[serde(default, borrow)]
    module: Option<Text<'a>>,
    #[serde(default, borrow)]
    package: Option<Text<'a>>,
    #[serde(default, borrow)]
    platform: Option<Text<'a>>,
}

/// All frames, texts shared. An array longer than [`FRAMES_MAX`] is read only that far and then for its syntax.
#[derive(Debug, Default)]
pub(super) struct Frames {
    pub(super) frames: Vec<received::Frame>,
    pub(super) too_many: bool,
}

/// All stacks.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    pub(super) stacks: Vec<Vec<u32>>,
    /// The largest frame index in any.
    pub(super) frame_max: Option<u32>,
    pub(super) too_many: bool,
}

/// The first rule that is broken by the two tables' sizes.
pub(super) fn too_many(frames: &Frames, stacks: &Stacks) -> Option<Refusal> {
    let of = |what, max| Some(Refusal::TooMany { what, max });
    match (frames.too_many, stacks.too_many) {
        (true, _) => of("frames", FRAMES_MAX),
        (_, true) if stacks.stacks.len() >= STACKS_MAX => of("stacks", STACKS_MAX),
        (_, true) => of("frames in all stacks", STACK_FRAMES_MAX),
        _ => None,
    }
}

/// Whether every frame that a stack names is there.
pub(super) fn well_formed(frames: &Frames, stacks: &Stacks) -> bool {
    stacks.frame_max.is_none_or(|max| (max as usize) < frames.frames.len())
}

impl Frame<'_> {
    fn received(&self, texts: &mut Interner) -> received::Frame {
        // An empty name is none: Node sends `""` for functions without one.
        let mut share =
            |text: &Option<Text<'_>>| text.as_ref().filter(|text| !text.0.is_empty()).map(|text| texts.share(&text.0));
        received::Frame {
            function: share(&self.function),
            module: share(&self.module),
            package: share(&self.package),
            filename: share(&self.filename),
            abs_path: share(&self.abs_path),
            line: self.lineno.filter(|line| *line > 0),
            column: self.colno.filter(|column| *column > 0),
            address: self.instruction_addr.map(|address| address.0),
            in_app: self.in_app,
            platform: share(&self.platform),
        }
    }
}

impl<'de> Deserialize<'de> for Frames {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = Frames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of frames")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Frames, A::Error> {
                let mut texts = Interner::default();
                let mut table = Frames::default();
                while let Some(frame) = rows.next_element::<Frame<'de>>()? {
                    if table.frames.len() < FRAMES_MAX {
                        table.frames.push(frame.received(&mut texts));
                    } else {
                        table.too_many = true;
                    }
                }
                Ok(table)
            }
        }
        from.deserialize_seq(Table)
    }
}

impl<'de> Deserialize<'de> for Stacks {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = Stacks;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of stacks")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Stacks, A::Error> {
                let mut table = Stacks::default();
                let mut left = STACK_FRAMES_MAX;
                while let Some(Row(stack)) = rows.next_element::<Row>()? {
                    table.frame_max = table.frame_max.max(stack.iter().copied().max());
                    if table.stacks.len() < STACKS_MAX && stack.len() <= left {
                        left -= stack.len();
                        table.stacks.push(stack);
                    } else {
                        table.too_many = true;
                    }
                }
                Ok(table)
            }
        }
        from.deserialize_seq(Table)
    }
}

/// A stack. Of one that is longer than all may be, only as much.
struct Row(Vec<u32>);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Indices;
        impl<'de> Visitor<'de> for Indices {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of frame indices")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut indices: A) -> Result<Row, A::Error> {
                let mut stack = Vec::new();
                while let Some(index) = indices.next_element::<u64>()? {
                    if stack.len() <= STACK_FRAMES_MAX {
                        // One that does not fit is as little there as any other beyond the table.
                        stack.push(u32::try_from(index).unwrap_or(u32::MAX));
                    }
                }
                stack.shrink_to_fit();
                Ok(Row(stack))
            }
        }
        from.deserialize_seq(Indices)
    }
}

/// What is said of a thread.
#[derive(Deserialize, Debug, Default)]
pub(super) struct ThreadMetadata<'a> {
    #[serde(default, borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(default)]
    #[allow(dead_code, reason = "its type is a rule of the format")]
    priority: Option<u32>,
}

/// Names of threads by id, the last of each. More than the threads that may be there are read for their syntax only.
#[derive(Debug, Default)]
pub(super) struct ThreadNames<'a>(pub(super) std::collections::HashMap<Text<'a>, Text<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for ThreadNames<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = ThreadNames<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of threads")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
                let mut names = ThreadNames::default();
                while let Some((id, said)) = rows.next_entry::<Text<'de>, ThreadMetadata<'de>>()? {
                    if let Some(name) = said.name.filter(|_| names.0.len() < super::super::limits::THREADS_MAX) {
                        names.0.insert(id, name);
                    }
                }
                Ok(names)
            }
        }
        from.deserialize_map(Names)
    }
}

/// Fails as the JSON of a whole does.
pub(super) fn invalid(error: &serde_json::Error) -> Refusal {
    Refusal::InvalidJson(error.to_string())
}

#[derive(Deserialize)]
struct Version<'a> {
    #[serde(default, borrow)]
    version: Option<Text<'a>>,
}

/// A payload that says its version, and it; where the rest is wrong, the version all the same: it is judged first.
#[allow(clippy::type_complexity, reason = "both parts as they are needed")]
pub(super) fn versioned<'a, T: Deserialize<'a>>(
    text: &'a str,
    version_of: impl FnOnce(&T) -> Option<Text<'a>>,
) -> Result<(Option<Text<'a>>, serde_json::Result<T>), Refusal> {
    let payload = serde_json::from_str::<T>(text);
    let version = match &payload {
        Ok(payload) => version_of(payload),
        Err(error) => serde_json::from_str::<Version<'_>>(text).map_err(|_| invalid(error))?.version,
    };
    Ok((version, payload))
}

/// Refused before anything is read of it.
pub(super) fn text_of(payload: &[u8]) -> Result<&str, Refusal> {
    if payload.len() > super::super::limits::ITEM_BYTES_MAX {
        return Err(Refusal::TooLarge(payload.len()));
    }
    // Once for all of it: no string is checked again.
    std::str::from_utf8(payload).map_err(|error| invalid(&serde_json::Error::custom(error)))
}
