//! How long the threads of one computation wait for each other with a processor in hand.
//!
//! llama.cpp's threads meet several hundred times for each token. OpenMP's runtime (GCC's libgomp) lets the one that comes first
//! turn in a loop, about 300,000 times, before it gives its processor away. Where anything else computes, that is the processor
//! which the other one waits for: on two busy cores a reply came at 2 tokens a second, and at 40 with the number below. On quiet
//! ones no cost of it was seen (`benches/README.md` has the few runs that this rests on).

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The runtime reads it once, before the program begins.
const SPIN_COUNT: &str = "GOMP_SPINCOUNT";
/// A tenth of a millisecond and a bit: longer than threads that both run wait for each other.
const SPINS: &str = "10000";
/// Whoever sets one of these has chosen.
const CHOICES: [&str; 2] = [SPIN_COUNT, "OMP_WAIT_POLICY"];

/// Begins the program anew in this process, with a limit on how long its threads spin; returns where the limit or
/// another choice is there already. To be called before anything else begins.
///
/// # Errors
/// The program cannot be started again, and goes on as it is.
pub fn limit_spinning() -> io::Result<()> {
    if CHOICES.iter().any(|name| std::env::var_os(name).is_some()) {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let mut program = Command::new(std::env::current_exe()?);
    program.env(SPIN_COUNT, SPINS);
    if let Some(name) = arguments.next() {
        program.arg0(name);
    }
    Err(program.args(arguments).exec())
}
