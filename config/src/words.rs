//! Choices that are a word each.

use crate::text::{as_text, read_as_is};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident, $wrong:literal: $($(#[$of:meta])* $variant:ident = $word:literal,)*;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
        pub enum $name {
            $($(#[$of])* $variant,)*
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text.trim() {
                    $($word => Ok(Self::$variant),)*
                    _ => Err($wrong.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $word,)*
                })
            }
        }
    )*};
}

words! {
    /// What is read of Python programs.
    Native, "no way to show native frames: write merged, off or only":
        /// Python frames, and the native ones among them.
        #[default]
        Merged = "merged",
        /// Python frames alone.
        Off = "off",
        /// Native frames alone.
        Only = "only",
    ;
    /// Which states of threads are shown.
    States, "no choice of states: write all, active, on_cpu or gil":
        /// Every one.
        #[default]
        All = "all",
        /// Not of threads that sleep.
        Active = "active",
        /// Of threads on a CPU.
        OnCpu = "on_cpu",
        /// Of the thread that holds Python's global interpreter lock.
        Gil = "gil",
    ;
    /// When a sampled session is profiled.
    Lifecycle, "no lifecycle: write manual or trace":
        /// From a start to a stop.
        #[default]
        Manual = "manual",
        /// While a root span is open.
        Trace = "trace",
    ;
    /// Who decides whether a forked process's session is sampled.
    ForkedDecision, "nobody who decides: write own or parent":
        /// It does, for itself.
        #[default]
        Own = "own",
        /// The process that forked it did.
        Parent = "parent",
    ;
}
as_text!("a word, in quotes": Native, States, Lifecycle, ForkedDecision);
read_as_is!(Lifecycle, ForkedDecision);

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that each choice is what it says, and nothing else is a choice.
    #[test]
    fn words_are_themselves() {
        for word in ["merged", "off", "only"] {
            assert_eq!(word.parse::<Native>().unwrap().to_string(), word);
        }
        for word in ["all", "active", "on_cpu", "gil"] {
            assert_eq!(word.parse::<States>().unwrap().to_string(), word);
        }
        assert_eq!("trace".parse::<Lifecycle>().unwrap().to_string(), "trace");
        assert_eq!("parent".parse::<ForkedDecision>().unwrap().to_string(), "parent");
        assert!("Off".parse::<Native>().is_err() && "auto".parse::<Lifecycle>().is_err());
    }
}
