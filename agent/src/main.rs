//! The binary: hands over to the library, which the tests use too.
fn main() {}
