//! What can be asked of a process. Asked lazily, and read elsewhere: this crate opens nothing of a process.

use std::borrow::Cow;

/// A process, as selectors see it. `None`: it has none, has ended, or may not be read. Text that is no UTF-8 is told with
/// replacement characters.
pub trait Facts {
    /// Its id, in the agent's own namespace.
    fn pid(&self) -> i32;

    /// Whether it has registered over the control socket with the client package.
    fn has_client(&self) -> bool;

    /// Its name for the kernel, of at most 15 bytes.
    fn comm(&self) -> Option<Cow<'_, str>>;

    /// The path of its program, as its own root has it. ` (deleted)` at its end is overlooked.
    fn exe(&self) -> Option<Cow<'_, str>>;

    /// Its arguments, joined by spaces.
    fn cmdline(&self) -> Option<Cow<'_, str>>;

    /// The path of its control group: in version 2's hierarchy, else in systemd's.
    fn cgroup(&self) -> Option<Cow<'_, str>>;

    /// The number of the user it runs as.
    fn uid(&self) -> Option<u32>;

    /// The name of the user it runs as.
    fn user(&self) -> Option<Cow<'_, str>>;

    /// A label of its pod.
    fn label(&self, name: &str) -> Option<Cow<'_, str>>;

    /// An annotation of its pod.
    fn annotation(&self, name: &str) -> Option<Cow<'_, str>>;

    /// A variable of the environment it was started with.
    fn variable(&self, name: &str) -> Option<Cow<'_, str>>;
}
