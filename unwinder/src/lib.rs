//! unwinder
