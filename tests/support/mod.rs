//! A running Fireside for tests: the real program, in a folder of its own, and people who use it.
#![allow(dead_code)] // Each test binary uses its own part.

mod person;
pub mod program;

#[allow(unused_imports)] // Each test binary uses its own part.
pub use person::{Person, Reply, begun_reply, reply_id, unescape};

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test fails; generous, because machines that run tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Configuration for tests that need no weights: the scripted model under the real queue.
pub const ECHO: &str = "[default.llm]\nbackend = \"echo\"\n";

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The real model of the tests: the default one, of which they know what it does.
pub fn real_model() -> PathBuf {
    let path = repository().join("models/default/SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(path.is_file(), "{} is missing: ./test fetches it", path.display());
    path
}

/// A folder with everything that the program needs, and nothing of the machine's own configuration.
pub struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    /// `toml` becomes `Rocket.toml`.
    pub fn new(toml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for shared in ["templates", "static", "texts"] {
            std::os::unix::fs::symlink(repository().join(shared), folder.path().join(shared)).unwrap();
        }
        fs::create_dir(folder.path().join("plugins")).unwrap();
        let home = Self { folder };
        home.write("Rocket.toml", toml);
        home
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.path().join(name), content).unwrap();
    }

    /// Copies a shipped plugin, such as `clock` or `examples/redact`, to where it is loaded.
    pub fn add_plugin(&self, shipped: &str) {
        let from = repository().join(format!("plugins/{shipped}.rhai"));
        let name = from.file_name().unwrap().to_owned();
        fs::copy(from, self.path().join("plugins").join(name)).unwrap();
    }

    /// Runs the program with arguments to its end.
    pub fn command(&self, arguments: &[&str]) -> std::process::Output {
        self.program().args(arguments).output().unwrap()
    }

    /// The program in this folder, without the settings of whoever runs the tests.
    pub fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fireside"));
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if ["FIRESIDE_", "ROCKET_", "CHAT_", "RUST_LOG", "GOMP_", "OMP_", "MALLOC_"]
                .iter()
                .any(|prefix| name_text.starts_with(prefix))
            {
                command.env_remove(&name);
            }
        }
        command.current_dir(self.path()).env("ROCKET_PORT", "0").stdin(Stdio::null());
        command
    }

    /// Everything that the server wrote, read as bytes: the database with its journal, and the log.
    pub fn everything_written(&self) -> Vec<u8> {
        fn collect(folder: &Path, bytes: &mut Vec<u8>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { collect(&path, bytes) } else { bytes.extend(fs::read(path).unwrap()) }
            }
        }
        let mut bytes = fs::read(self.path().join("log")).unwrap_or_default();
        collect(&self.path().join("data"), &mut bytes);
        bytes
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }
}

/// A running server. Dropping it kills the process.
pub struct TestApp {
    pub home: Home,
    pub url: String,
    child: Child,
}

impl TestApp {
    /// Starts the server and waits until its model is ready.
    pub async fn start(toml: &str) -> Self {
        Self::start_in(Home::new(toml)).await
    }

    pub async fn start_in(home: Home) -> Self {
        let app = Self::start_loading(home);
        app.wait_until_ready().await;
        app
    }

    /// Starts the server and waits for its address only.
    pub fn start_loading(home: Home) -> Self {
        let program = home.program();
        Self::start_program(home, program)
    }

    /// As [`TestApp::start_loading`], with arguments or an environment of one's own.
    pub fn start_program(home: Home, mut program: Command) -> Self {
        let log = fs::OpenOptions::new().create(true).append(true).open(home.path().join("log")).unwrap();
        let mut child = program.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = match line.trim().strip_prefix("Fireside is at ") {
            Some(url) => url.to_owned(),
            None => panic!("the server did not start: {line}{}", home.log()),
        };
        Self { home, url, child }
    }

    pub async fn wait_until_ready(&self) {
        let start = Instant::now();
        while !reqwest::get(format!("{}/readyz", self.url)).await.unwrap().status().is_success() {
            assert!(start.elapsed() < PATIENCE, "the model did not load: {}", self.home.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A person who just made an account.
    pub async fn person(&self, name: &str) -> Person {
        let person = Person::new(&self.url, name);
        let answer = person.register().await;
        assert!(answer.status().is_redirection(), "{name} could not register: {}", answer.status());
        person
    }

    /// Kills the process as a power cut would, and starts it again in the same folder.
    pub async fn kill_and_restart(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Self::start_in(self.into_home()).await
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(self) -> (ExitStatus, Duration, Home) {
        self.end_by(rustix::process::Signal::TERM)
    }

    /// Sends a signal that ends the server and waits for the end.
    pub fn end_by(mut self, signal: rustix::process::Signal) -> (ExitStatus, Duration, Home) {
        let start = Instant::now();
        let id = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
        let status = self.child.wait().unwrap();
        let took = start.elapsed();
        (status, took, self.into_home())
    }

    /// The arguments and the environment with which the server's process runs.
    pub fn begun_with(&self) -> [Vec<String>; 2] {
        ["cmdline", "environ"].map(|file| {
            let words = fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap();
            words.split_terminator('\0').map(str::to_owned).collect()
        })
    }

    /// Files and connections that the server has open.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Resident memory of the server, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most resident memory since [`TestApp::forget_peak`], in bytes.
    pub fn peak_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    /// Lets the peak begin at what is resident now.
    pub fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
    }

    fn status_bytes(&self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    fn into_home(mut self) -> Home {
        std::mem::replace(&mut self.home, Home::new(""))
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // Err only when it is gone already.
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the server\n{}", self.home.log());
        }
    }
}
