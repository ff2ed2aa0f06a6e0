//! What C libraries read of the environment once, before the program begins.
//!
//! **How long threads wait with a processor in hand.** llama.cpp's threads meet several hundred times for each token. OpenMP's
//! runtime (GCC's libgomp) lets the one that comes first turn in a loop, about 300,000 times, before it gives its processor away.
//! Where anything else computes, that is the processor which the other one waits for: on two busy cores a reply came at 2 tokens a
//! second, and at 40 with the number below. On quiet ones no cost of it was seen (`benches/README.md` has the few runs that this
//! rests on).
//!
//! **What the allocator keeps.** glibc gives each thread a heap of its own, and raises the size from which on a block goes back to
//! the system whenever one was freed: what a burst of passwords, grammars or long messages took then stays with the process.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// A variable, its value, and what else an operator may have chosen in its place.
const SETTINGS: [(&str, &str, Option<&str>); 3] = [
    // A tenth of a millisecond and a bit: longer than threads that both run wait for each other.
    ("GOMP_SPINCOUNT", "10000", Some("OMP_WAIT_POLICY")),
    // Heaps; threads share them.
    ("MALLOC_ARENA_MAX", "4", None),
    // Bytes from which on a block goes back at once; a fixed number stays as it is.
    ("MALLOC_MMAP_THRESHOLD_", "262144", None),
];

/// Begins the program anew in this process, with these settings; returns where they, or an operator's choices, are there already.
/// To be called before anything else begins.
///
/// # Errors
/// The program cannot be started again, and goes on as it is.
pub fn settle_environment() -> io::Result<()> {
    let chosen = |name: &str| std::env::var_os(name).is_some();
    let missing = SETTINGS.iter().filter(|(name, _, other)| !chosen(name) && !other.is_some_and(chosen));
    let missing: Vec<_> = missing.map(|(name, value, _)| (name, value)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let mut program = Command::new(std::env::current_exe()?);
    program.envs(missing);
    if let Some(name) = arguments.next() {
        program.arg0(name);
    }
    Err(program.args(arguments).exec())
}
