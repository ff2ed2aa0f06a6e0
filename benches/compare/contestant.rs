//! What is compared: this tree's Fireside, another program, or a server that runs somewhere.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Outcome;
use crate::client::Endpoint;
use crate::fireside::Home;
use crate::process::Process;

/// How long a server may take to load its model.
const PATIENCE: Duration = Duration::from_secs(120);

/// One side of the comparison. Of two sides, only one is running at any moment.
pub struct Contestant {
    pub name: String,
    kind: Kind,
    /// API keys; made at the first need.
    keys: Vec<String>,
    logs: TempDir,
}

enum Kind {
    Fireside(Home),
    Command(Vec<String>),
    Url(String),
}

/// A server that answers. Dropping it kills the process.
pub struct Server {
    pub endpoint: Endpoint,
    /// None where somebody else started it.
    pub process: Option<Process>,
    /// From the start of the process to the first "ready".
    pub ready_after: Duration,
}

impl Contestant {
    /// The Fireside of this tree.
    pub async fn fireside(model: &Path, threads: usize) -> Outcome<Self> {
        let mut contestant = Self::new("Fireside", Kind::Fireside(Home::new(model, threads)?))?;
        let (process, url, _) = contestant.launch(&[]).await?;
        if let Kind::Fireside(home) = &contestant.kind {
            contestant.keys = home.make_people(&url).await?;
        }
        process.terminate().await?;
        Ok(contestant)
    }

    /// A program; `{model}` and `{port}` stand for the file and the port. Words are separated by spaces.
    pub fn command(template: &str, model: &Path) -> Outcome<Self> {
        let words = template.split_whitespace();
        let words: Vec<_> = words.map(|word| word.replace("{model}", &model.to_string_lossy())).collect();
        let program = words.first().ok_or("the command is empty")?;
        let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self::new(&name, Kind::Command(words))
    }

    /// A server that runs already.
    pub fn url(url: &str, key: Option<&str>) -> Outcome<Self> {
        let url = url.trim_end_matches('/');
        let contestant = Self::new(url, Kind::Url(url.to_owned()))?;
        Ok(Self { keys: key.map(str::to_owned).into_iter().collect(), ..contestant })
    }

    fn new(name: &str, kind: Kind) -> Outcome<Self> {
        Ok(Self { name: name.to_owned(), kind, keys: Vec::new(), logs: tempfile::tempdir()? })
    }

    /// Whether it can be stopped and started again.
    pub fn is_ours(&self) -> bool {
        !matches!(self.kind, Kind::Url(_))
    }

    /// Whether it is the Fireside of this tree.
    pub fn is_fireside(&self) -> bool {
        matches!(self.kind, Kind::Fireside(_))
    }

    /// What it says about its version.
    pub async fn version(&self) -> Outcome<String> {
        if self.is_fireside() {
            let bindings = crate::report::bindings().unwrap_or("of an unknown version");
            return Ok(format!("{}, with llama-cpp-sys-2 {bindings}", env!("CARGO_PKG_VERSION")));
        }
        let server = self.start().await?;
        // llama-server's own route; others have none.
        let answer =
            crate::client::client(false)?.get(format!("{}/props", server.endpoint.url)).send().await?;
        let props: serde_json::Value = serde_json::from_str(&answer.text().await?).unwrap_or_default();
        server.stop().await?;
        Ok(props["build_info"].as_str().unwrap_or("version unknown").to_owned())
    }

    /// Starts it, or finds it running.
    pub async fn start(&self) -> Outcome<Server> {
        self.start_with(&[]).await
    }

    /// Starts it; Fireside with these settings besides, as environment variables.
    pub async fn start_with(&self, settings: &[(&str, &str)]) -> Outcome<Server> {
        let (process, url, ready_after) = match &self.kind {
            Kind::Url(url) => (None, url.clone(), Duration::ZERO),
            _ => {
                let (process, url, ready_after) = self.launch(settings).await?;
                (Some(process), url, ready_after)
            }
        };
        let endpoint = Endpoint::connect(&url, &self.keys).await?;
        Ok(Server { endpoint, process, ready_after })
    }

    async fn launch(&self, settings: &[(&str, &str)]) -> Outcome<(Process, String, Duration)> {
        let port = free_port()?;
        let (mut command, ready) = match &self.kind {
            Kind::Fireside(home) => (home.program(port), "readyz"),
            Kind::Command(words) => {
                let mut words = words.iter().map(|word| word.replace("{port}", &port.to_string()));
                let mut command = Command::new(words.next().ok_or("the command is empty")?);
                command.args(words);
                (command, "health")
            }
            Kind::Url(url) => return Err(format!("{url} was started by somebody else").into()),
        };
        // Each server decides for itself how its threads wait for each other.
        command.env_remove("GOMP_SPINCOUNT").env_remove("OMP_WAIT_POLICY");
        if self.is_fireside() {
            command.envs(settings.iter().copied());
        }
        let url = format!("http://127.0.0.1:{port}");
        let begin = Instant::now();
        let mut process = Process::spawn(&mut command, &self.logs.path().join("log"))?;
        wait_until_ready(&format!("{url}/{ready}"), &mut process, begin).await?;
        Ok((process, url, begin.elapsed()))
    }
}

impl Server {
    /// Ends the server as its operator would, and waits until it is gone. One that runs elsewhere goes on.
    pub async fn stop(self) -> Outcome<()> {
        match self.process {
            Some(process) => process.terminate().await,
            None => Ok(()),
        }
    }

    /// The process; an error for a server that runs elsewhere.
    pub fn process(&self) -> Outcome<&Process> {
        self.process.as_ref().ok_or_else(|| "this needs a server that this program started".into())
    }
}

async fn wait_until_ready(url: &str, process: &mut Process, begin: Instant) -> Outcome<()> {
    let http = crate::client::client(false)?;
    // While the port is closed, asking fails at once; that is no error yet.
    while !http.get(url).send().await.is_ok_and(|answer| answer.status().is_success()) {
        if let Some(status) = process.ended()? {
            return Err(format!("a server did not start ({status}): {}", process.log()?).into());
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!("a server was not ready in time: {}", process.log()?).into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// A port that was free a moment ago.
fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
