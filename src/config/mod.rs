//! Typed tables of `Rocket.toml`: one struct a table, defaults on the struct, ranges checked with a sentence.
//!
//! Invariant: plain data. Nothing here opens a file, reads the environment or knows Rocket; `app.rs` hands in
//! the merged [`Figment`].

mod error;
mod limits;
mod plugins;
mod tables;

use std::collections::BTreeMap;
use std::path::PathBuf;

use figment::Figment;
use figment::providers::Serialized;
use serde::{Deserialize, Serialize};

pub use error::ConfigError;
pub use limits::{LimitsConfig, Lowered};
pub use plugins::PluginsConfig;
pub use tables::{AccountsConfig, Backend, CacheType, ChatConfig, FlashAttention, LlmConfig, Registration};

use crate::domain::SamplingParams;

/// Everything Fireside reads from its configuration.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// What stands beside the tables.
    pub server: ServerConfig,
    /// `[default.llm]`
    pub llm: LlmConfig,
    /// `[default.generation]`
    pub generation: SamplingParams,
    /// `[default.generation_limits]`
    pub limits: LimitsConfig,
    /// `[default.chat]`
    pub chat: ChatConfig,
    /// `[default.accounts]`
    pub accounts: AccountsConfig,
    /// `[default.plugins]`
    pub plugins: PluginsConfig,
}

/// Keys of `[default]` that are ours and not Rocket's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerConfig {
    /// Folder for what the server writes: the SQLite file, the secret key, backups.
    pub data_dir: PathBuf,
    /// Names of this server, beside those that only its own network knows: requests for any other host are refused.
    pub hosts: Vec<String>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { data_dir: "data".into(), hosts: Vec::new() }
    }
}

impl ServerConfig {
    fn check(&self) -> Result<(), (&'static str, String)> {
        let is_name = |host: &str| {
            !host.is_empty()
                && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        };
        match self.hosts.iter().find(|host| !is_name(host)) {
            Some(host) => {
                Err(("hosts", format!("must hold names such as \"chat.example.org\", not \"{host}\"")))
            }
            None => Ok(()),
        }
    }
}

/// Rocket's own keys of a profile, and those of its companions; any other key is a mistake.
const ROCKET_KEYS: &[&str] = &[
    "address",
    "port",
    "workers",
    "max_blocking",
    "ident",
    "ip_header",
    "proxy_proto_header",
    "keep_alive",
    "limits",
    "tls",
    "secret_key",
    "temp_dir",
    "log_level",
    "cli_colors",
    "shutdown",
    "databases",
    "template_dir",
    "config",
    "profile",
];

/// Our tables and keys of a profile.
const OUR_KEYS: &[&str] =
    &["data_dir", "hosts", "llm", "generation", "generation_limits", "chat", "accounts", "plugins"];

impl Config {
    /// Reads and checks every table; the error names file, key, what is allowed and the nearest right key.
    pub fn extract(figment: &Figment) -> Result<Self, ConfigError> {
        error::check_top_level(figment, OUR_KEYS, &[OUR_KEYS, ROCKET_KEYS].concat())?;
        let config = Self {
            server: read(figment, None)?,
            llm: read(figment, Some("llm"))?,
            generation: read(figment, Some("generation"))?,
            limits: read(figment, Some("generation_limits"))?,
            chat: read(figment, Some("chat"))?,
            accounts: read(figment, Some("accounts"))?,
            plugins: read(figment, Some("plugins"))?,
        };
        config.check().map_err(|(table, key, why)| error::out_of_range(figment, table, &key, &why))?;
        Ok(config)
    }

    /// The first value out of its range: table, key, sentence.
    fn check(&self) -> Result<(), (&'static str, String, String)> {
        let place = |table| move |(key, why): (&'static str, String)| (table, key.to_owned(), why);
        self.server.check().map_err(place(""))?;
        self.llm.check().map_err(place("llm"))?;
        self.generation.check().map_err(|e| ("generation", e.key.to_owned(), e.why))?;
        self.limits.check(&self.generation).map_err(place("generation_limits"))?;
        self.chat.check().map_err(place("chat"))?;
        self.accounts.check().map_err(place("accounts"))?;
        self.plugins.check().map_err(place("plugins"))
    }
}

/// One table over its defaults, so that an absent table is not an error.
fn read<T>(figment: &Figment, table: Option<&str>) -> Result<T, ConfigError>
where
    T: Default + Serialize + for<'de> Deserialize<'de>,
{
    let defaults = match table {
        Some(table) => Figment::from(Serialized::default(table, T::default())),
        None => Figment::from(Serialized::defaults(T::default())),
    };
    let figment = figment.clone().join(defaults);
    match table {
        Some(table) => figment.extract_inner(table),
        None => figment.extract(),
    }
    .map_err(|e| ConfigError::from_figment(&figment, e))
}

/// Settings of a plugin by plugin id, as they stand in `[default.plugins.settings.<id>]`.
pub type PluginSettings = BTreeMap<String, BTreeMap<String, serde_json::Value>>;
