//! The fault run of the server: kills `serve` with `kill -9` at random moments while it is sent to from several
//! connections, again and again, and prints what became of the chunks. Ends non-zero when one that was acknowledged is
//! gone, is there twice or has changed.
//!
//!     serve-fault [TIMES]      (1000)

use std::process::ExitCode;

use tests::kills::Kills;

fn main() -> ExitCode {
    let rounds: u32 = std::env::args().nth(1).and_then(|times| times.parse().ok()).unwrap_or(1000);
    let folder = tempfile::tempdir().unwrap();
    let outcome = Kills::new(folder.path()).run(rounds);
    println!("{outcome}");
    if outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
