//! Keeps the plugins as their files are: loads what is new, swaps what changed, keeps what an edit broke.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use regex::Regex;

use super::choices::Plugin;
use super::fault::{Fault, Source};
use super::folder::{self, Found, Text};
use super::sandbox::Sandbox;
use super::set::{Member, PluginSet};
use super::workers;
use super::{PluginInfo, PluginState};
use crate::config::PluginsConfig;
use crate::domain::OperatorChoices;

/// A plugin as it is known: its files, the last version that loaded, and what is wrong with the files now.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) found: Found,
    pub(super) source: Source,
    pub(super) plugin: Option<Arc<Plugin>>,
    pub(super) error: Option<String>,
    /// It never compiled, but its text says that it must not be skipped.
    pub(super) refuses: bool,
    /// It is loaded like any other, and no message meets it.
    pub(super) disabled: bool,
}

/// All plugins, by id.
pub(super) struct Registry {
    sandbox: Arc<Sandbox>,
    entries: BTreeMap<String, Entry>,
    /// What the operator chose, by plugin.
    choices: BTreeMap<String, OperatorChoices>,
    /// What an administrator turned on or off.
    switches: BTreeMap<String, bool>,
}

impl Registry {
    pub(super) fn new(sandbox: Arc<Sandbox>) -> Self {
        Self { sandbox, entries: BTreeMap::new(), choices: BTreeMap::new(), switches: BTreeMap::new() }
    }

    /// Takes over what the operator chose. Nothing is compiled for it.
    pub(super) fn configure(&mut self, choices: BTreeMap<String, OperatorChoices>) {
        self.choices = choices;
        for (id, entry) in &mut self.entries {
            let chosen = self.choices.get(id).cloned().unwrap_or_default();
            if let Some(plugin) = entry.plugin.as_mut().filter(|plugin| *plugin.operator != chosen) {
                *plugin = Arc::new(plugin.with_operator(chosen));
            }
        }
    }

    /// Turns a plugin on or off, whether it is there already or not.
    pub(super) fn switch(&mut self, id: &str, enabled: bool) {
        self.switches.insert(id.to_owned(), enabled);
        if let Some(entry) = self.entries.get_mut(id) {
            entry.disabled = !enabled;
        }
    }

    fn is_disabled(&self, id: &str) -> bool {
        let configured = || self.sandbox.config.disabled.iter().any(|disabled| disabled == id);
        self.switches.get(id).map_or_else(configured, |enabled| !enabled)
    }

    /// Looks at the folder and takes over what changed. Returns whether anything did. Blocks.
    pub(super) fn refresh(&mut self) -> bool {
        let now = SystemTime::now();
        let listing = match folder::list(&self.sandbox.config.dir) {
            Ok(listing) => listing,
            Err(error) => {
                // Keeping what runs is right: a plugin that must not be skipped would be gone otherwise.
                tracing::error!(folder = %self.sandbox.config.dir.display(), "cannot list the plugins: {error}");
                return false;
            }
        };
        let mut changed = false;
        self.entries.retain(|id, _| {
            let stays = listing.contains_key(id);
            if !stays {
                tracing::info!(plugin = id, "removed");
                changed = true;
            }
            stays
        });
        for (id, found) in listing {
            changed |= self.refresh_one(&id, found, now);
        }
        changed
    }

    fn refresh_one(&mut self, id: &str, found: Found, now: SystemTime) -> bool {
        let disabled = self.is_disabled(id);
        let config = &self.sandbox.config;
        let before = self.entries.get_mut(id);
        if before.as_ref().is_some_and(|entry| found.is_unchanged_since(&entry.found, now)) {
            return false;
        }
        let Some(Text { source, problem }) = folder::read(&found, config.max_file_bytes) else {
            tracing::debug!(plugin = id, "its files are being written; the next look takes them");
            return false;
        };
        if let Some(entry) = before
            && entry.source == source
            && entry.found.problem == found.problem
        {
            entry.found = found;
            return false;
        }
        let loaded = match problem {
            Some(problem) => Err(source.fault(problem)),
            None => load(id, &source, config),
        };
        let loaded = loaded.map(|plugin| match self.choices.get(id) {
            Some(chosen) => plugin.with_operator(chosen.clone()),
            None => plugin,
        });
        let previous = self.entries.remove(id).and_then(|entry| entry.plugin);
        let entry = Entry::loaded(Entry { source, disabled, ..Entry::new(found) }, previous, loaded);
        match &entry.error {
            Some(error) => tracing::error!(plugin = id, kept = entry.plugin.is_some(), "{error}"),
            None => tracing::info!(plugin = id, "loaded"),
        }
        self.entries.insert(id.to_owned(), entry);
        true
    }

    /// The plugins as a set that messages can pass through.
    pub(super) fn set(&self) -> PluginSet {
        let enabled = self.entries.iter().filter(|(_, entry)| !entry.disabled);
        let members = enabled.filter_map(|(id, entry)| match &entry.plugin {
            Some(plugin) => Some(Member::Loaded(plugin.clone())),
            None if entry.refuses => {
                Some(Member::Refusing { id: id.clone(), error: entry.error.clone().unwrap_or_default() })
            }
            None => None,
        });
        PluginSet::new(self.sandbox.clone(), members.collect())
    }

    pub(super) fn entries(&self) -> BTreeMap<String, Entry> {
        self.entries.clone()
    }
}

impl Entry {
    fn new(found: Found) -> Self {
        Self { found, source: Source::default(), plugin: None, error: None, refuses: false, disabled: false }
    }

    /// The entry after its files were compiled; a broken edit leaves the previous version running.
    fn loaded(entry: Self, previous: Option<Arc<Plugin>>, result: Result<Plugin, Fault>) -> Self {
        match result {
            Ok(plugin) => {
                if let Some(previous) = previous {
                    plugin.breaker.take_over(&previous.breaker, &plugin.hooks);
                    plugin.tally.take_over(&previous.tally);
                }
                Self { plugin: Some(Arc::new(plugin)), ..entry }
            }
            Err(fault) => {
                let refuses = previous.is_none() && says_closed(&entry.source);
                Self { plugin: previous, error: Some(fault.to_string()), refuses, ..entry }
            }
        }
    }

    pub(super) fn info(&self, id: &str) -> PluginInfo {
        let plugin = self.plugin.as_deref();
        let state = match plugin {
            _ if self.disabled => PluginState::Disabled,
            None => PluginState::Broken,
            Some(plugin) if plugin.breaker.is_open() => PluginState::Resting,
            Some(plugin) if plugin.breaker.is_on_trial() => PluginState::OnTrial,
            Some(_) => PluginState::Running,
        };
        let manifest = plugin.map(|plugin| plugin.manifest.clone());
        PluginInfo {
            id: id.to_owned(),
            name: manifest.as_ref().map_or_else(|| id.to_owned(), |it| it.name.clone()),
            version: manifest.as_ref().map_or_else(String::new, |it| it.version.clone()),
            description: manifest.as_ref().map_or_else(String::new, |it| it.description.clone()),
            hooks: plugin.map_or_else(Vec::new, |plugin| plugin.hooks.clone()),
            priority: manifest.map_or(100, |it| it.priority),
            state,
            error: self.error.clone(),
            last_failure: plugin.and_then(|plugin| plugin.tally.last_failure()),
            refuses: plugin.map_or(self.refuses, Plugin::is_closed),
            stats: plugin.map_or_else(Vec::new, Plugin::stats),
        }
    }
}

/// Compiles a plugin and runs its tests: the one way by which a version comes into use. Blocks.
pub(super) fn load(id: &str, source: &Source, config: &PluginsConfig) -> Result<Plugin, Fault> {
    let load = || Plugin::load(id, source.clone(), config)?.tested(config);
    workers::run_blocking(load).unwrap_or_else(|not_run| Err(source.fault(not_run.to_string())))
}

/// Whether the text of a plugin that never compiled seems to say `fail: "closed"`. It cannot be asked, and a
/// plugin that must not be skipped is better taken for one too often than too seldom.
fn says_closed(source: &Source) -> bool {
    // The pattern is a constant that the tests compile.
    static CLOSED: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"\bfail"?\s*:\s*["`]closed["`]"#).ok());
    CLOSED.as_ref().is_none_or(|closed| closed.is_match(&source.text))
}
