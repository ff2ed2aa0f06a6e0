//! Plugins: Rhai scripts that see every message on its way in and every reply on its way out.
//!
//! A message passes through the hooks of every plugin in the order of their priorities; [`hooks`] is the contract,
//! [`host`] is what a script may call, [`trial`] what its tests may, [`Workbench`] what its author may ask without a
//! server; `plugins/README.md` is the manual.
//!
//! Invariants:
//! - rhai is imported in this room only. It knows no database, model or web server.
//! - Nothing that a script does ends the process, another plugin or a conversation: each call runs on a thread of
//!   the plugins' own under a budget of time, memory and operations, and ends as a value, a
//!   [`Mark`](crate::domain::Mark) or a [`Denied`].
//! - Compiling a plugin has a deadline and a budget of memory too, and no lock is held while it, or a plugin's tests, run.
//! - Calls share nothing that can change, except the cache of compiled regular expressions and the breakers.
//! - No text of a conversation reaches the log, except what a script itself logs.

mod hooks;
mod message;
mod rendered;
mod response;
mod set;
mod stream;
mod title;
mod window;

mod choices;
mod compile;
mod folder;
mod look;
mod plugin;
mod registry;

mod form;
mod manifest;
mod settings;

mod draft;
mod fault;
mod literal;
mod value;

mod console;
mod diff;
mod rehearsal;
mod stage;
mod tally;
mod trial;
mod workbench;

mod change;
mod trace;

mod budget;
mod caller;
mod host;
mod json;
mod kv;
mod llm;
mod memory;
mod natives;
mod patterns;
mod sandbox;
mod scratch;
mod services;
mod workers;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use console::{PluginDetail, PluginFile};
pub use diff::{DiffLine, diff};
pub use form::{Field, FieldErrors, Origin, PluginForm, Typed};
pub use hooks::{
    Context, Denied, Draft, Hook, MessageAction, RenderedSegment, RequestSource, ResponseAction, Retry,
    SegmentOrigin,
};
pub use memory::allocations;
pub use message::{Command, MessageOutcome};
pub use rehearsal::{Outcome, Rehearsal, Rehearsed, Step, Template};
pub use response::ResponseOutcome;
pub use services::{KeyValue, Llm, LlmOrder, Services, Tokens};
pub use set::PluginSet;
pub use stream::{Released, ReplyStream};
pub use tally::CallStats;
pub use trace::{AskedBy, MessageOrigin, Recorder};
pub use workbench::{Tested, Workbench, Workpiece, is_plugin_id};

use crate::config::PluginsConfig;
use look::Looks;
use registry::{Entry, Registry};
use sandbox::Sandbox;

/// The plugins of a server. A clone is another handle to the same plugins.
#[derive(Clone)]
pub struct Plugins {
    /// Held for lines only, never while something is compiled.
    registry: Arc<Mutex<Registry>>,
    /// What the last look found; held for lines only.
    seen: Arc<Mutex<Seen>>,
    looks: Arc<Looks>,
    /// Held while what the operator chose is read and taken over.
    choosing: Arc<tokio::sync::Mutex<()>>,
    sandbox: Arc<Sandbox>,
    /// Held while an administrator's test or rehearsal runs.
    bench: Arc<tokio::sync::Mutex<()>>,
}

struct Seen {
    set: Arc<PluginSet>,
    entries: Arc<BTreeMap<String, Entry>>,
}

/// How a plugin is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginState {
    /// It is called. With an error: its files were edited and do not load, and the version before is called.
    Running,
    /// An administrator turned it off, or `[default.plugins] disabled` names it: it is loaded and not called.
    Disabled,
    /// No version of it ever loaded.
    Broken,
    /// It failed too often in a row and is not called until its file changes.
    Resting,
    /// It rested, and its file changed: it is called, and the first failure of the same hook makes it rest again.
    OnTrial,
}

/// A plugin as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginInfo {
    /// Its file's or folder's name.
    pub id: String,
    /// The name that it gives itself, or its id.
    pub name: String,
    /// The version that it gives itself; may be empty.
    pub version: String,
    /// What it says it does; may be empty.
    pub description: String,
    /// The hooks that it defines.
    pub hooks: Vec<Hook>,
    /// Lower runs first on the way in.
    pub priority: i64,
    /// How it is doing.
    pub state: PluginState,
    /// Why its files do not load, with file, line and column.
    pub error: Option<String>,
    /// Where this version failed last, with file, line and column.
    pub last_failure: Option<String>,
    /// Where it cannot work, requests are refused.
    pub refuses: bool,
    /// The calls of each hook since the server started.
    pub stats: Vec<(Hook, CallStats)>,
}

impl Plugins {
    /// As [`Plugins::with_services`], without a server around them.
    pub fn open(config: PluginsConfig) -> Plugins {
        Self::with_services(config, Services::default())
    }

    /// Loads every plugin of the folder. One that does not load is logged and listed with its error; it never
    /// makes the whole fail. Blocks while it reads and compiles.
    pub fn with_services(config: PluginsConfig, services: Services) -> Plugins {
        let sandbox = Arc::new(Sandbox::new(config, services));
        let registry = Registry::new(sandbox.clone());
        let plugins = Self {
            seen: Arc::new(Mutex::new(Seen::of(&registry))),
            registry: Arc::new(Mutex::new(registry)),
            looks: Arc::default(),
            choosing: Arc::default(),
            sandbox,
            bench: Arc::default(),
        };
        plugins.look();
        plugins
    }

    /// The set that the last look found, without a look at the folder.
    pub fn last_seen(&self) -> Arc<PluginSet> {
        self.seen().set.clone()
    }

    /// Every plugin in the folder, by id, as the last look found it.
    pub fn list(&self) -> Vec<PluginInfo> {
        let entries = self.seen().entries.clone();
        entries.iter().map(|(id, entry)| entry.info(id)).collect()
    }

    /// Changes what is known of the plugins, and publishes it where `change` says so.
    fn update(&self, change: impl FnOnce(&mut Registry) -> bool) {
        let mut registry = self.registry();
        if change(&mut registry) {
            // Still under the lock of the registry, so that older news never replace newer ones.
            *self.seen() = Seen::of(&registry);
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // After a panic elsewhere some of a look's news are taken over; the next look finds the others.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // It is only ever replaced as a whole, so a panic elsewhere leaves it whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn of(registry: &Registry) -> Self {
        Self { set: Arc::new(registry.set()), entries: registry.entries() }
    }
}
