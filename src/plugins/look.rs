//! Looks at the plugins' folder: reads, compiles and tests what changed, one look at a time.
//!
//! Nobody waits for it longer than [`PATIENCE`], and nothing is locked meanwhile: the set before stays in use. What a look found
//! is taken over as a whole, so that a renamed plugin is never missing in between.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, timeout, timeout_at};

use super::choices::Plugin;
use super::fault::{Fault, Source};
use super::folder::{self, Found, Text};
use super::registry::Entry;
use super::set::PluginSet;
use super::{Plugins, workers};
use crate::config::PluginsConfig;

/// How long a message waits for a look. A plugin that a person wrote compiles and passes its tests in a small part of it.
const PATIENCE: Duration = Duration::from_millis(500);

/// Whose turn it is to look, and since when somebody does.
#[derive(Default)]
pub(super) struct Looks {
    turn: Arc<tokio::sync::Mutex<()>>,
    since: Mutex<Option<Instant>>,
}

impl Looks {
    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        // It is only ever replaced as a whole, so a panic elsewhere leaves it whole.
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What changed in the folder.
#[derive(Default)]
pub(super) struct News {
    pub(super) removed: Vec<String>,
    /// New and changed plugins, by id.
    pub(super) plugins: Vec<(String, New)>,
}

/// What is new about one plugin.
pub(super) enum New {
    /// Its files were written and say what they said before.
    Touched(Found),
    Changed {
        found: Found,
        source: Source,
        /// The plugin, if it compiled and its tests passed.
        plugin: Result<Plugin, Fault>,
    },
}

impl New {
    pub(super) fn is_touched(&self) -> bool {
        matches!(self, Self::Touched(_))
    }
}

impl Plugins {
    /// The plugins as their files are now: an edit, a new file or a removed one takes effect here. A broken edit
    /// leaves the previous version in place, and so does one that takes long, until it is loaded. Keep the set for the whole of
    /// one reply.
    pub async fn current(&self) -> Arc<PluginSet> {
        let begun = self.looks.since().unwrap_or_else(Instant::now);
        let turn = timeout_at(begun + PATIENCE, self.looks.turn.clone().lock_owned());
        let Ok(turn) = turn.await else { return self.last_seen() };
        *self.looks.since() = Some(Instant::now());
        let plugins = self.clone();
        let look = tokio::task::spawn_blocking(move || {
            plugins.look();
            *plugins.looks.since() = None;
            drop(turn);
        });
        match timeout(PATIENCE, look).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("looking for changed plugins failed: {error}"),
            Err(_) => tracing::warn!("a plugin takes long to load; until then the version before is used"),
        }
        self.last_seen()
    }

    /// Takes over what changed in the folder. Blocks while it reads, compiles and tests.
    pub(super) fn look(&self) {
        let known = self.registry().entries();
        let config = &self.sandbox.config;
        match look(&known, config) {
            Ok(news) => self.update(|registry| registry.take_over(news)),
            // Keeping what runs is right: a plugin that must not be skipped would be gone otherwise.
            Err(error) => {
                tracing::error!(folder = %config.dir.display(), "cannot list the plugins: {error}");
            }
        }
    }
}

fn look(known: &BTreeMap<String, Entry>, config: &PluginsConfig) -> std::io::Result<News> {
    let now = SystemTime::now();
    let listing = folder::list(&config.dir)?;
    let removed = known.keys().filter(|id| !listing.contains_key(*id)).cloned().collect();
    let plugins = listing.into_iter().filter_map(|(id, found)| {
        let new = look_at(&id, found, known.get(&id), now, config)?;
        Some((id, new))
    });
    Ok(News { removed, plugins: plugins.collect() })
}

/// What is new about a plugin; nothing where its files are as they were, or being written.
fn look_at(
    id: &str,
    found: Found,
    before: Option<&Entry>,
    now: SystemTime,
    config: &PluginsConfig,
) -> Option<New> {
    if before.is_some_and(|entry| found.is_unchanged_since(&entry.found, now)) {
        return None;
    }
    let Some(Text { source, problem }) = folder::read(&found, config.max_file_bytes) else {
        tracing::debug!(plugin = id, "its files are being written; the next look takes them");
        return None;
    };
    if before.is_some_and(|entry| entry.source == source && entry.found.problem == found.problem) {
        return Some(New::Touched(found));
    }
    let plugin = match problem {
        Some(problem) => Err(source.fault(problem)),
        None => load(id, &source, config),
    };
    Some(New::Changed { found, source, plugin })
}

/// Compiles a plugin and runs its tests: the one way by which a version comes into use. Blocks.
pub(super) fn load(id: &str, source: &Source, config: &PluginsConfig) -> Result<Plugin, Fault> {
    let load = || Plugin::load(id, source.clone(), config)?.tested(config);
    workers::run_blocking(load).unwrap_or_else(|not_run| Err(source.fault(not_run.to_string())))
}
