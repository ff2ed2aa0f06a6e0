//! Processes that this program started, and what the kernel says about them.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Outcome;

/// How long a server may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(20);

/// Clock ticks a second of `/proc/<pid>/stat`: 100 on every Linux, whatever the kernel's own rate.
const USER_HZ: f64 = 100.0;

/// A child process. Dropping it kills it, also when a measurement fails half-way.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program. What it prints goes to `log`, which is emptied first.
    pub fn spawn(command: &mut Command, log: &Path) -> Outcome<Self> {
        File::create(log)?;
        let output = OpenOptions::new().append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|error| format!("{program} did not start: {error}"))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Outcome<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Everything that it printed so far.
    pub fn log(&self) -> Outcome<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// Sends SIGTERM and waits until it is gone.
    pub async fn terminate(mut self) -> Outcome<()> {
        let id = i32::try_from(self.child.id())?;
        kill_process(Pid::from_raw(id).ok_or("a process without an id")?, Signal::TERM)?;
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > PATIENCE {
                return Err("a server did not end within 20 s of SIGTERM".into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Bytes in memory (VmRSS).
    pub fn resident_bytes(&self) -> Outcome<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kibibytes: f64 = line.split_whitespace().next().ok_or("an empty VmRSS")?.parse()?;
        Ok(kibibytes * 1024.0)
    }

    /// Processor time of the threads that live: of all, and of those that do not compute the model. The threads that llama.cpp
    /// starts carry the name of the one that started them.
    pub fn threads_cpu_seconds(&self) -> Outcome<(f64, f64)> {
        let (mut all, mut delivery) = (0.0, 0.0);
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let task = task?.path();
            let schedule = fs::read_to_string(task.join("schedstat"))?;
            let nanoseconds: f64 = schedule.split_whitespace().next().unwrap_or("0").parse()?;
            all += nanoseconds / 1e9;
            if fs::read_to_string(task.join("comm"))?.trim() != "engine" {
                delivery += nanoseconds / 1e9;
            }
        }
        Ok((all, delivery))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Err only when it is gone already.
        if self.child.kill().is_ok()
            && let Err(error) = self.child.wait()
        {
            eprintln!("a server may still run: {error}");
        }
    }
}

/// Processor time of this program itself.
pub fn own_cpu_seconds() -> Outcome<f64> {
    cpu_seconds("self")
}

fn cpu_seconds(process: &str) -> Outcome<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in brackets, may hold spaces; utime and stime are the 12th and 13th fields after it.
    let (_, fields) = stat.rsplit_once(')').ok_or("an unreadable /proc/<pid>/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / USER_HZ)
}
