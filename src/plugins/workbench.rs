//! What a plugin's author asks without a server: do plugins load, do their tests pass, what do they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::choices::Plugin;
use super::folder::{self, Text};
use super::hooks::Hook;
use super::sandbox::Sandbox;
use super::services::Services;
use super::workers;
use crate::config::PluginsConfig;
use crate::domain::OperatorChoices;

/// Plugins as they lie in a folder, loaded with the limits of a server, by id. Which ones a server has disabled is
/// of no importance here.
pub struct Workbench {
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) pieces: Vec<Workpiece>,
    dir: PathBuf,
}

/// One plugin on the bench.
pub struct Workpiece {
    /// Its id.
    pub id: String,
    /// Why it does not load, as `folder/file:line:column: sentence`.
    pub error: Option<String>,
    pub(super) plugin: Option<Arc<Plugin>>,
}

/// How a test of a plugin ended.
pub struct Tested {
    /// The function's name.
    pub name: String,
    /// Why it failed, as `folder/file:line:column: sentence`.
    pub failure: Option<String>,
}

impl Workbench {
    /// Loads the plugins of a folder, or the one plugin that a file or a folder with `main.rhai` is. Its tests do not
    /// run. Blocks.
    ///
    /// # Errors
    /// A sentence: there is nothing at `path`, or no plugin.
    pub fn open(config: &PluginsConfig, path: &Path) -> Result<Self, String> {
        let (dir, only) = place(path)?;
        let listing = folder::list(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let chosen: Vec<_> =
            listing.into_iter().filter(|(id, _)| only.as_ref().is_none_or(|only| only == id)).collect();
        if chosen.is_empty() {
            return Err(format!("{}: here is no plugin; it would be a file <id>.rhai", path.display()));
        }
        let config = PluginsConfig { dir: dir.clone(), disabled: Vec::new(), ..config.clone() };
        let mut pieces = Vec::new();
        for (id, found) in chosen {
            let Some(text) = folder::read(&found, config.max_file_bytes) else {
                return Err(format!("{}/{id}: somebody is writing it; try again", dir.display()));
            };
            pieces.push(Workpiece::load(&id, text, &config, &dir));
        }
        Ok(Self::with(Sandbox::new(config, Services::default()), pieces, dir))
    }

    /// A bench with these plugins of a folder on it.
    pub(super) fn with(sandbox: Sandbox, pieces: Vec<Workpiece>, dir: PathBuf) -> Self {
        Self { sandbox: Arc::new(sandbox), pieces, dir }
    }

    /// The plugins, by id.
    pub fn pieces(&self) -> &[Workpiece] {
        &self.pieces
    }

    /// Takes plugins off the bench.
    pub fn leave_out(&mut self, ids: &[String]) {
        self.pieces.retain(|piece| !ids.contains(&piece.id));
    }

    /// Runs every test of a plugin, also behind one that failed. Blocks.
    pub fn test(&self, piece: &Workpiece) -> Vec<Tested> {
        let Some(plugin) = &piece.plugin else { return Vec::new() };
        let run = || {
            let tests = plugin.run_tests(&self.sandbox.config);
            tests.map(|(name, result)| (name.to_owned(), result.err())).collect::<Vec<_>>()
        };
        match workers::run_blocking(run) {
            Ok(ended) => ended
                .into_iter()
                .map(|(name, fault)| Tested { name, failure: fault.map(|fault| located(&self.dir, fault)) })
                .collect(),
            Err(not_run) => {
                let failure = Some(located(&self.dir, format!("{}: {not_run}", piece.id)));
                plugin
                    .tests
                    .iter()
                    .map(|name| Tested { name: name.clone(), failure: failure.clone() })
                    .collect()
            }
        }
    }
}

impl Workpiece {
    /// Compiles a plugin of the folder `dir`, which stands before its faults. Blocks.
    pub(super) fn load(id: &str, text: Text, config: &PluginsConfig, dir: &Path) -> Self {
        let Text { source, problem } = text;
        let loaded = match problem {
            Some(problem) => Err(source.fault(problem)),
            None => workers::run_blocking(|| Plugin::load(id, source.clone(), config))
                .unwrap_or_else(|not_run| Err(source.fault(not_run.to_string()))),
        };
        let error = loaded.as_ref().err().map(|fault| located(dir, fault));
        Self { id: id.to_owned(), error, plugin: loaded.ok().map(|it| Arc::new(it.without_secrets())) }
    }

    /// The same with what the operator chose, but for its secrets.
    pub(super) fn with_operator(self, choices: &OperatorChoices) -> Self {
        let chosen = |plugin: &Plugin| Arc::new(plugin.with_operator(choices.clone()).without_secrets());
        Self { plugin: self.plugin.as_deref().map(chosen), ..self }
    }

    /// The hooks that it defines.
    pub fn hooks(&self) -> &[Hook] {
        self.plugin.as_ref().map_or(&[], |plugin| &plugin.hooks)
    }
}

/// Whether a plugin may be called so.
pub fn is_plugin_id(id: &str) -> bool {
    folder::is_id(id)
}

/// The folder of plugins that a path means, and the one plugin, if it is one.
fn place(path: &Path) -> Result<(PathBuf, Option<String>), String> {
    let metadata = path.metadata().map_err(|error| format!("{}: {error}", path.display()))?;
    if metadata.is_dir() && !path.join(folder::MAIN).exists() {
        return Ok((path.to_owned(), None));
    }
    // `.` and `..` have a name of their own only when they are spelled out.
    let whole = match path.file_name() {
        Some(_) => path.to_owned(),
        None => path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?,
    };
    let name = if metadata.is_dir() { whole.file_name() } else { whole.file_stem() };
    let id = name.unwrap_or_default().to_string_lossy().into_owned();
    let parent = whole.parent().unwrap_or(Path::new("."));
    Ok((if parent == Path::new("") { PathBuf::from(".") } else { parent.to_owned() }, Some(id)))
}

/// A fault begins with its file; here it begins with the way there, so that an editor can follow.
fn located(dir: &Path, fault: impl std::fmt::Display) -> String {
    match dir == Path::new(".") {
        true => fault.to_string(),
        false => format!("{}/{fault}", dir.display()),
    }
}
