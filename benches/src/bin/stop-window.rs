//! How long a running thread stands still for one sample, as the thread itself sees it: ours against a bare loop of
//! SEIZE, INTERRUPT, GETREGS, a read of 16 KiB and DETACH, in turns, on the same target.
//!
//!     SENTRY_PROFILED_BIN=target/release/sentry-profiled cargo run --release -p benches --bin stop-window

use std::{
    io::{BufRead, BufReader, IoSliceMut, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::{
        ptrace,
        uio::{RemoteIoVec, process_vm_readv},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};

/// Shorter gaps are timer interrupts (15-18 us in the virtual machines this runs on).
const GAP_MIN: Duration = Duration::from_micros(22);
/// Longer ones are other programs on the CPU.
const GAP_MAX: Duration = Duration::from_micros(400);
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(4);
const RATE_HZ: u32 = 101;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    if std::env::args().nth(1).as_deref() == Some("target") {
        return target();
    }
    let agent = std::env::var("SENTRY_PROFILED_BIN").map_err(|_| "set SENTRY_PROFILED_BIN to the release binary")?;
    let (mut child, mut input, mut output) = start()?;
    let (mut ours, mut bare, mut none) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        none.extend(round(&mut input, &mut output, || std::thread::sleep(ROUND))?);
        bare.extend(round(&mut input, &mut output, || bare_loop(child.id()))?);
        ours.extend(round(&mut input, &mut output, || run_agent(&agent, child.id()))?);
    }
    child.kill()?;
    child.wait()?;
    report(none, bare, ours);
    Ok(())
}

#[allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "a bench prints, three digits")]
fn report(mut none: Vec<u64>, mut bare: Vec<u64>, mut ours: Vec<u64>) {
    println!("gaps of {} us and more that the target saw, us", GAP_MIN.as_micros());
    println!("            count   p50   p90   p99");
    for (name, gaps) in [("no tracer", &mut none), ("bare loop", &mut bare), ("ours", &mut ours)] {
        gaps.sort_unstable();
        let at = |share: usize| gaps.get(gaps.len() * share / 100).copied().unwrap_or(0) as f64 / 1000.0;
        println!("{name:<11}{:>6}{:>6.1}{:>6.1}{:>6.1}", gaps.len(), at(50), at(90), at(99));
    }
    let median = |gaps: &[u64]| gaps.get(gaps.len() / 2).copied().unwrap_or(0) as f64;
    println!("ratio of medians, ours / bare loop: {:.2} (limit 1.15)", median(&ours) / median(&bare).max(1.0));
}

#[allow(clippy::exit, reason = "the target's main thread never ends by itself")]
/// Spins on the clock; at each line on its input prints the gaps seen since the last.
fn target() -> Result<(), Error> {
    let (line, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for _ in std::io::stdin().lock().lines() {
            let _ = line.send(());
        }
        std::process::exit(0);
    });
    let mut gaps = Vec::with_capacity(1 << 20);
    let mut last = Instant::now();
    loop {
        for _ in 0..1000 {
            let now = Instant::now();
            let gap = now - last;
            last = now;
            if gap >= GAP_MIN && gap <= GAP_MAX {
                gaps.push(gap.as_nanos());
            }
        }
        if lines.try_recv().is_ok() {
            let text: Vec<String> = gaps.drain(..).map(|gap| gap.to_string()).collect();
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", text.join(" "))?;
            out.flush()?;
            last = Instant::now();
        }
    }
}

fn start() -> Result<(Child, ChildStdin, BufReader<ChildStdout>), Error> {
    let mut child =
        Command::new(std::env::current_exe()?).arg("target").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let input = child.stdin.take().ok_or("no stdin")?;
    let output = BufReader::new(child.stdout.take().ok_or("no stdout")?);
    Ok((child, input, output))
}

fn round(input: &mut ChildStdin, output: &mut impl BufRead, work: impl FnOnce()) -> Result<Vec<u64>, Error> {
    ask(input, output)?;
    work();
    ask(input, output)
}

fn ask(input: &mut ChildStdin, output: &mut impl BufRead) -> Result<Vec<u64>, Error> {
    input.write_all(b"\n")?;
    let mut line = String::new();
    output.read_line(&mut line)?;
    Ok(line.split_whitespace().filter_map(|gap| gap.parse().ok()).collect())
}

/// The rival: nothing but the calls themselves.
fn bare_loop(pid: u32) {
    let Ok(raw) = i32::try_from(pid) else { return };
    let pid = Pid::from_raw(raw);
    let mut buffer = vec![0_u8; 16 * 1024];
    let end = Instant::now() + ROUND;
    while Instant::now() < end {
        if ptrace::seize(pid, ptrace::Options::empty()).is_err() {
            return;
        }
        let _ = ptrace::interrupt(pid);
        let _ = waitpid(pid, Some(WaitPidFlag::__WALL));
        if let Ok(registers) = ptrace::getregs(pid) {
            let base = usize::try_from(registers.rsp).unwrap_or(0);
            let remote = [RemoteIoVec { base, len: buffer.len() }];
            let _ = process_vm_readv(pid, &mut [IoSliceMut::new(&mut buffer)], &remote);
        }
        let _ = ptrace::detach(pid, None);
        std::thread::sleep(Duration::from_secs(1) / RATE_HZ);
    }
}

fn run_agent(agent: &str, pid: u32) {
    let rate = RATE_HZ.to_string();
    let seconds = ROUND.as_secs().to_string();
    let status = Command::new(agent)
        .args(["record", "--pid", &pid.to_string(), "--rate", &rate, "--duration", &seconds, "-o", "/dev/null"])
        .stderr(Stdio::null())
        .status();
    drop(status);
}
