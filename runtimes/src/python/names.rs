//! Names that a program gives its threads: `threading._active` holds a thread object for each ident, the object its name. Read
//! while the target runs: what is found is compared with the memory once more; whose ident it is still, the caller proves.

use std::collections::HashMap;

use profile::address::RemoteAddr;

use super::{
    bytes::{pointer, u8_at, u64_at},
    dict::Table,
    find::Process,
    offsets::{Attributes, TYPE},
    strings::string,
    threads::ThreadState,
};
use crate::Memory;

/// Modules of one interpreter that are looked through; large programs import 5,000.
const MODULES_MAX: u64 = 16_384;
/// Globals of `threading` that are looked through; 3.15 has 90.
const GLOBALS_MAX: u64 = 512;
/// Entries of `_active`, also of threads that have ended.
const ACTIVE_MAX: u64 = 65_536;
/// Attributes of a thread object that are looked through, of which `_name` is the second.
const ATTRIBUTES_MAX: u64 = 256;
/// Interpreters of which the place of `_active` is kept.
const INTERPRETERS_MAX: usize = 256;
/// A module's dictionary.
const MODULE_DICT: u32 = 16;
/// In a type: the size of its objects, its flags, and where they keep the dictionary of their attributes.
const BASIC_SIZE: u32 = 32;
const FLAGS: u32 = 168;
const DICT_OFFSET: u32 = 288;
/// As much of a type as these need.
const TYPE_SIZE: usize = 296;
/// Values lie in the object itself, since 3.13.
const HAS_INLINE_VALUES: u64 = 1 << 2;
/// The attributes are before the object, since 3.11.
const HAS_MANAGED_DICT: u64 = 1 << 4;
/// No object is larger than this, up to its attributes.
const OBJECT_MAX: u64 = 64 << 10;

/// Where the names of a process's threads are.
#[derive(Default, Debug)]
pub struct ThreadNames {
    /// By interpreter.
    places: HashMap<RemoteAddr, Place>,
    /// The thread objects of an interpreter by ident, as last read.
    objects: HashMap<u64, RemoteAddr>,
    read_of: Option<RemoteAddr>,
}

/// Where `_active` is: in the globals of `threading`, as long as these have the same keys.
#[derive(Clone, Copy, Debug)]
struct Place {
    globals: RemoteAddr,
    keys: RemoteAddr,
    active: RemoteAddr,
}

/// A thread's name, and where it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ThreadName {
    /// The name as the program set it.
    pub name: String,
    /// The word that leads to it, and what it held.
    place: RemoteAddr,
    string: RemoteAddr,
}

impl ThreadName {
    /// Whether the thread object leads to the very same name: one read.
    pub fn is_still(&self, memory: &mut impl Memory) -> bool {
        pointer(self.place, 0, memory) == Some(self.string)
    }
}

impl ThreadNames {
    /// What was read is old: the next question reads the thread objects again.
    pub fn begin(&mut self) {
        self.read_of = None;
    }

    /// The name of a thread. `None`: `threading` does not know it, or is not imported; or it does not fit together.
    pub fn name(&mut self, process: &Process, thread: &ThreadState, memory: &mut impl Memory) -> Option<ThreadName> {
        if self.read_of != Some(thread.interpreter) {
            self.read_of = Some(thread.interpreter);
            self.objects.clear();
            let _ = self.read_objects(process, thread.interpreter, memory);
        }
        let object = *self.objects.get(&thread.ident)?;
        let place = attribute(process, object, "_name", memory)?;
        let at = pointer(place, 0, memory)?;
        let name = ThreadName { name: string(process, at, memory)?, place, string: at };
        name.is_still(memory).then_some(name)
    }

    fn read_objects(&mut self, process: &Process, interpreter: RemoteAddr, memory: &mut impl Memory) -> Option<()> {
        let known = self.places.get(&interpreter).copied().filter(|place| place.is_still(process, memory));
        let place = known.or_else(|| Place::find(process, interpreter, memory))?;
        if self.places.len() >= INTERPRETERS_MAX {
            self.places.clear();
        }
        self.places.insert(interpreter, place);
        let table = Table::of(process, pointer(place.active, 0, memory)?, memory)?;
        // Of a small integer, as an ident is, the hash is the number itself.
        table.find(ACTIVE_MAX, memory, |entry, _| {
            if entry.value != RemoteAddr(0) {
                self.objects.insert(entry.hash, entry.value);
            }
            None
        })
    }
}

impl Place {
    fn find(process: &Process, interpreter: RemoteAddr, memory: &mut impl Memory) -> Option<Self> {
        let modules = pointer(interpreter, process.layout.interpreter.modules, memory)?;
        let module = Table::of(process, modules, memory)?.place_of(process, "threading", MODULES_MAX, memory)?;
        let globals = pointer(pointer(module, 0, memory)?, MODULE_DICT, memory)?;
        let keys = pointer(globals, process.layout.dict.keys, memory)?;
        let active = Table::of(process, globals, memory)?.place_of(process, "_active", GLOBALS_MAX, memory)?;
        let place = Self { globals, keys, active };
        place.is_still(process, memory).then_some(place)
    }

    fn is_still(&self, process: &Process, memory: &mut impl Memory) -> bool {
        pointer(self.globals, process.layout.dict.keys, memory) == Some(self.keys)
    }
}

/// Where the value of an object's attribute is, which is no slot of its class.
fn attribute(process: &Process, object: RemoteAddr, name: &str, memory: &mut impl Memory) -> Option<RemoteAddr> {
    let of_type = pointer(object, TYPE, memory)?;
    let mut bytes = [0; TYPE_SIZE];
    memory.read(of_type, &mut bytes).then_some(())?;
    let before = |words: u64| Some(RemoteAddr(object.0.checked_sub(words.checked_mul(8)?)?));
    let is_managed = u64_at(&bytes, FLAGS)? & HAS_MANAGED_DICT != 0;
    let (dict, values) = match process.layout.attributes {
        Attributes::InDict => {
            let offset = u64_at(&bytes, DICT_OFFSET).filter(|offset| (16..OBJECT_MAX).contains(offset))?;
            (pointer(object.checked_add(offset)?, 0, memory)?, None)
        }
        _ if !is_managed => return None,
        Attributes::ValuesBefore { .. } => {
            let values = pointer(before(4)?, 0, memory)?;
            (pointer(before(3)?, 0, memory)?, Some(values).filter(|values| *values != RemoteAddr(0)))
        }
        Attributes::EitherBefore { .. } => {
            let either = pointer(before(3)?, 0, memory)?;
            // Values are marked by pointing one byte before.
            (either, either.checked_add(1).filter(|_| either.0 & 1 == 1))
        }
        Attributes::Inline { .. } => {
            let dict = pointer(before(3)?, 0, memory)?;
            (dict, if dict == RemoteAddr(0) { inline_values(object, &bytes, memory) } else { None })
        }
    };
    let table = match (values, process.layout.attributes.cached_keys()) {
        (Some(values), Some(at)) => {
            Table::of_keys(&process.layout.dict, pointer(of_type, at, memory)?, Some(values), memory)?
        }
        _ => Table::of(process, dict, memory)?,
    };
    table.place_of(process, name, ATTRIBUTES_MAX, memory)
}

/// The first of the values in an object, behind four bytes: how many have room, how many there are, whether they are a part of
/// the object, and whether they are valid.
fn inline_values(object: RemoteAddr, of_type: &[u8], memory: &mut impl Memory) -> Option<RemoteAddr> {
    let size = u64_at(of_type, BASIC_SIZE).filter(|size| (16..OBJECT_MAX).contains(size))?;
    let values = object.checked_add(size)?;
    let mut head = [0; 8];
    let is_valid = memory.read(values, &mut head) && u8_at(&head, 3) == Some(1);
    let has_any = u64_at(of_type, FLAGS)? & HAS_INLINE_VALUES != 0;
    (is_valid && has_any).then(|| values.checked_add(8))?
}
