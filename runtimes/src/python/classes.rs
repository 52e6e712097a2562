//! Names of the classes of methods, up to 3.10, found as sentry-sdk finds them: of the receiver's class and its bases, in the
//! order in which Python looks for a method, the first whose namespace has the function's name. Read after the resume: a class
//! outlives its objects, and what was found is compared with the memory again for each stack.

use std::collections::HashMap;

use profile::address::RemoteAddr;

use super::{
    bytes::{pointer, u64_at},
    copies::to_page_end,
    dict::{Entry, Table},
    find::Process,
    offsets::{MethodLayout, TUPLE_ITEMS, TUPLE_LEN, TYPE},
    strings::string,
};
use crate::Memory;

/// Classes and functions of one process, together.
const KNOWN_MAX: usize = 100_000;
/// Classes in one order of looking; frameworks reach 30.
const BASES_MAX: u64 = 128;
/// Names in one class that are looked at; generated ones reach some thousands.
const NAMES_MAX: u64 = 16_384;
/// Bytes of the name of a class that C code made.
const C_NAME_MAX: usize = 128;
/// Of every string up to 3.10: its hash.
const STRING_HASH: u32 = 24;
/// In a type: its name in C, its flags, its namespace, and the order in which it and its bases are looked through.
const C_NAME: u32 = 24;
const FLAGS: u32 = 168;
const NAMESPACE: u32 = 264;
const ORDER: u32 = 344;
/// As much of a type as these need.
const TYPE_SIZE: usize = 352;
/// Made at run time: it has a name that is a string.
const IS_HEAP_TYPE: u64 = 1 << 9;
/// Objects of this type are types.
const MAKES_TYPES: u64 = 1 << 31;

/// What is known of the classes of one process.
#[derive(Default, Debug)]
pub(super) struct Classes {
    /// By class, and by the string that is the function's name.
    known: HashMap<(RemoteAddr, RemoteAddr), Known>,
}

#[derive(Debug)]
struct Known {
    function: String,
    class: Words,
    /// The class that has the function, if one has.
    owner: Option<(RemoteAddr, Words, String)>,
}

/// The words of a type that tell it from another one that gets its address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Words {
    meta: RemoteAddr,
    namespace: RemoteAddr,
    order: RemoteAddr,
    c_name: RemoteAddr,
    /// Of a class that was made at run time.
    name: Option<RemoteAddr>,
}

impl Classes {
    /// A function's name with that of the class which has it: `Class.method`; the bare name where none has.
    pub(super) fn qualified(
        &mut self,
        process: &Process,
        class: RemoteAddr,
        (function, at): (String, RemoteAddr),
        memory: &mut impl Memory,
    ) -> String {
        let Some(layout) = &process.layout.methods else { return function };
        let known = self.known.get(&(class, at)).filter(|known| known.function == function);
        if known.is_none_or(|known| !known.is_still(process, layout, class, memory)) {
            let Some(new) = Known::look(process, layout, class, (&function, at), memory) else { return function };
            if self.known.len() >= KNOWN_MAX {
                self.known.clear();
            }
            self.known.insert((class, at), new);
        }
        match self.known.get(&(class, at)).and_then(|known| known.owner.as_ref()) {
            Some((_, _, owner)) => format!("{owner}.{function}"),
            None => function,
        }
    }
}

impl Known {
    /// Whether class and owner are what they were.
    fn is_still(&self, process: &Process, layout: &MethodLayout, class: RemoteAddr, memory: &mut impl Memory) -> bool {
        Words::read(layout, class, memory) == Some(self.class)
            && self.owner.as_ref().is_none_or(|(at, words, name)| {
                Words::read(layout, *at, memory) == Some(*words) && words.name(process, memory).as_ref() == Some(name)
            })
    }

    /// `None`: it is no class, or changed meanwhile.
    fn look(
        process: &Process,
        layout: &MethodLayout,
        class: RemoteAddr,
        (function, at): (&str, RemoteAddr),
        memory: &mut impl Memory,
    ) -> Option<Self> {
        let words = Words::read(layout, class, memory)?;
        (pointer(words.meta, FLAGS, memory)?.0 & MAKES_TYPES != 0).then_some(())?;
        let hash = pointer(at, STRING_HASH, memory)?.0;
        let count = pointer(words.order, TUPLE_LEN, memory)?.0.min(BASES_MAX);
        let mut owner = None;
        for index in 0..count {
            let base = pointer(words.order.checked_add(index.checked_mul(8)?)?, TUPLE_ITEMS, memory)?;
            let of_base = Words::read(layout, base, memory)?;
            if has(process, of_base.namespace, (function, at, hash), memory)? {
                owner = Some((base, of_base, of_base.name(process, memory)?));
                break;
            }
        }
        let known = Self { function: function.to_owned(), class: words, owner };
        known.is_still(process, layout, class, memory).then_some(known)
    }
}

impl Words {
    fn read(layout: &MethodLayout, class: RemoteAddr, memory: &mut impl Memory) -> Option<Self> {
        let mut bytes = [0; TYPE_SIZE];
        memory.read(class, &mut bytes).then_some(())?;
        let word = |at| u64_at(&bytes, at).map(RemoteAddr);
        let name = match word(FLAGS)?.0 & IS_HEAP_TYPE {
            0 => None,
            _ => Some(pointer(class, layout.class_name, memory)?),
        };
        Some(Self { meta: word(TYPE)?, namespace: word(NAMESPACE)?, order: word(ORDER)?, c_name: word(C_NAME)?, name })
    }

    /// `__name__`: of a class that C code made, without its module.
    fn name(&self, process: &Process, memory: &mut impl Memory) -> Option<String> {
        if let Some(name) = self.name {
            return string(process, name, memory);
        }
        let mut room = [0; C_NAME_MAX];
        // What follows a name may be the end of the memory, at the end of a page only.
        let (start, page_end) = to_page_end(self.c_name, 1);
        let text = room.get_mut(..usize::try_from(page_end.checked_sub(start)?).ok()?.min(C_NAME_MAX))?;
        memory.read(self.c_name, text).then_some(())?;
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = String::from_utf8_lossy(text);
        Some(text.rsplit('.').next().unwrap_or_default().to_owned())
    }
}

/// Whether a namespace has a name. `None`: it cannot be read.
fn has(
    process: &Process,
    namespace: RemoteAddr,
    (name, at, hash): (&str, RemoteAddr, u64),
    memory: &mut impl Memory,
) -> Option<bool> {
    let table = Table::of(process, namespace, memory)?;
    let is_it = |entry: Entry, memory: &mut _| {
        let is_there = entry.hash == hash && entry.value != RemoteAddr(0);
        let is_named = is_there && (entry.key == at || string(process, entry.key, memory)? == name);
        is_named.then_some(())
    };
    Some(table.find(NAMES_MAX, memory, is_it).is_some())
}
