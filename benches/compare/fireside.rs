//! The Fireside of this tree, in a folder of its own, and the people who use it.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::Client;
use tempfile::TempDir;

use crate::Outcome;
use crate::client::{client, expect_success};

/// Places, people, and conversations at once.
pub const PLACES: usize = 8;

/// Context of one conversation, in tokens: 16384 on 8 places.
const N_CTX: usize = 2048;

/// A folder with all that the program needs and nothing of this machine's own configuration.
pub struct Home {
    folder: TempDir,
    model: PathBuf,
    threads: usize,
}

impl Home {
    pub fn new(model: &Path, threads: usize) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        for shared in ["templates", "static", "texts"] {
            symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join(shared), folder.path().join(shared))?;
        }
        std::fs::create_dir(folder.path().join("plugins"))?;
        std::fs::write(folder.path().join("Rocket.toml"), "")?;
        Ok(Self { folder, model: model.to_owned(), threads })
    }

    /// The program in this folder, without the settings of whoever runs this.
    pub fn program(&self, port: u16) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fireside"));
        for (name, _) in std::env::vars_os() {
            let shown = name.to_string_lossy();
            if ["FIRESIDE_", "ROCKET_", "CHAT_", "RUST_LOG"].iter().any(|prefix| shown.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command
            .current_dir(self.folder.path())
            .env("ROCKET_PORT", port.to_string())
            .env("RUST_LOG", "warn,llama-cpp-2=info")
            .env("FIRESIDE_LLM__MODEL", &self.model)
            .env("FIRESIDE_LLM__N_PARALLEL", PLACES.to_string())
            .env("FIRESIDE_LLM__N_THREADS", self.threads.to_string())
            .env("FIRESIDE_LLM__N_CTX", N_CTX.to_string())
            // The system prompt of a scenario is the whole one.
            .env("FIRESIDE_CHAT__SYSTEM_PROMPT", "");
        command
    }

    /// Makes the accounts through the running server, and a key for each.
    pub async fn make_people(&self, url: &str) -> Outcome<Vec<String>> {
        let http = client(false)?;
        let mut keys = Vec::new();
        for person in 0..PLACES {
            let form = credentials(person);
            expect_success(http.post(format!("{url}/register")).form(&form).send().await?).await?;
            let made = self.program(0).args(["key", "new", &name(person)]).output()?;
            let printed = String::from_utf8_lossy(&made.stdout).into_owned();
            let key = printed.split_whitespace().find(|word| word.starts_with("fs-"));
            let error = String::from_utf8_lossy(&made.stderr);
            let key = key.ok_or_else(|| format!("`fireside key new` printed no key: {printed}{error}"))?;
            keys.push(key.to_owned());
        }
        Ok(keys)
    }
}

/// A browser in which the first person has signed in.
pub async fn browser(url: &str) -> Outcome<Client> {
    let http = client(true)?;
    expect_success(http.post(format!("{url}/login")).form(&credentials(0)).send().await?).await?;
    Ok(http)
}

fn name(person: usize) -> String {
    format!("person-{person}")
}

fn credentials(person: usize) -> [(&'static str, String); 2] {
    [("username", name(person)), ("password", format!("correct horse {person}"))]
}
