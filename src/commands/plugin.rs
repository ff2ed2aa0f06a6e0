//! `fireside plugin …`: a plugin author's tools. They need no server and no model.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use fireside::config::{Config, PluginsConfig};
use fireside::plugins::{Hook, PluginInfo, PluginState, Plugins, Rehearsal, Workbench, diff, is_plugin_id};

/// What `new` writes.
const NEW_PLUGIN: &str = include_str!("new_plugin.rhai");

#[derive(Subcommand)]
pub enum PluginCommand {
    /// List the plugins that a server would load from the configured folder.
    List,
    /// Write a small plugin with a test, to start from.
    New {
        /// Its id: small letters, digits, `_` and `-`.
        id: String,
    },
    /// Load plugins and print what is wrong with them.
    Check {
        /// Plugins or folders of plugins; without any, the configured folder.
        paths: Vec<PathBuf>,
    },
    /// Load plugins and run their tests.
    Test {
        /// Plugins or folders of plugins; without any, the configured folder.
        paths: Vec<PathBuf>,
    },
    /// Pass a message through the hooks of plugins, without a model, and print what each changed.
    Try(TryArguments),
}

#[derive(Args)]
pub struct TryArguments {
    /// A plugin's id in the configured folder, or its path; without it, all that a server would load.
    plugin: Option<String>,
    /// What the user writes.
    #[arg(long)]
    message: String,
    /// What the model would answer, for on_response.
    #[arg(long)]
    reply: Option<String>,
    /// The user's name.
    #[arg(long, default_value = "")]
    user: String,
    /// A file with the output as it should be: any difference is an error.
    #[arg(long)]
    golden: Option<PathBuf>,
    /// Write the golden file in place of comparing with it.
    #[arg(long, requires = "golden")]
    update: bool,
}

pub async fn run(command: PluginCommand, config: Config) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        PluginCommand::List => list(config.plugins),
        PluginCommand::New { id } => create(&config.plugins.dir, &id)?,
        PluginCommand::Check { paths } => return check(&config.plugins, paths),
        PluginCommand::Test { paths } => return test(&config.plugins, paths),
        PluginCommand::Try(arguments) => return rehearse(arguments, config).await,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(config: PluginsConfig) {
    let dir = config.dir.clone();
    for plugin in Plugins::open(config).list() {
        let PluginInfo { id, version, priority, state, .. } = &plugin;
        let state = match state {
            PluginState::Running => "running",
            PluginState::Disabled => "disabled",
            PluginState::Broken => "broken",
            PluginState::Resting => "resting",
            PluginState::OnTrial => "on trial",
        };
        println!("{id}\t{version}\t{state}\tpriority {priority}\t{}", names(&plugin.hooks));
        if let Some(error) = plugin.error {
            println!("{}/{error}", dir.display());
        }
    }
}

fn create(dir: &Path, id: &str) -> Result<(), Box<dyn Error>> {
    if !is_plugin_id(id) {
        return Err(
            format!("A plugin's id has small letters, digits, _ and - only; \"{id}\" has not.").into()
        );
    }
    let path = dir.join(format!("{id}.rhai"));
    for taken in [&path, &dir.join(id)] {
        if taken.exists() {
            return Err(format!("{} exists already; choose another id.", taken.display()).into());
        }
    }
    let failed = |error| format!("{}: {error}", path.display());
    fs::create_dir_all(dir).map_err(failed)?;
    let mut file = File::create_new(&path).map_err(failed)?;
    file.write_all(NEW_PLUGIN.replace("{id}", id).as_bytes()).map_err(failed)?;
    println!("{}", path.display());
    Ok(())
}

fn check(config: &PluginsConfig, paths: Vec<PathBuf>) -> Result<ExitCode, Box<dyn Error>> {
    let mut code = ExitCode::SUCCESS;
    for bench in benches(config, paths)? {
        for piece in bench.pieces() {
            match &piece.error {
                None => println!("ok      {}: {}", piece.id, names(piece.hooks())),
                Some(error) => {
                    println!("{error}");
                    code = ExitCode::FAILURE;
                }
            }
        }
    }
    Ok(code)
}

fn test(config: &PluginsConfig, paths: Vec<PathBuf>) -> Result<ExitCode, Box<dyn Error>> {
    let (mut passed, mut failures) = (0, 0);
    for bench in benches(config, paths)? {
        for piece in bench.pieces() {
            if let Some(error) = &piece.error {
                println!("{error}");
                failures += 1;
            }
            for test in bench.test(piece) {
                match test.failure {
                    None => {
                        println!("ok      {}: {}", piece.id, test.name);
                        passed += 1;
                    }
                    Some(failure) => {
                        println!("{failure}");
                        failures += 1;
                    }
                }
            }
        }
    }
    println!("{passed} passed, {failures} failed");
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn benches(config: &PluginsConfig, paths: Vec<PathBuf>) -> Result<Vec<Workbench>, String> {
    let paths = if paths.is_empty() { vec![config.dir.clone()] } else { paths };
    paths.iter().map(|path| Workbench::open(config, path)).collect()
}

async fn rehearse(arguments: TryArguments, config: Config) -> Result<ExitCode, Box<dyn Error>> {
    let TryArguments { plugin, message, reply, user, golden, update } = arguments;
    let bench = match plugin {
        None => {
            let mut bench = Workbench::open(&config.plugins, &config.plugins.dir)?;
            bench.leave_out(&config.plugins.disabled);
            bench
        }
        Some(plugin) => Workbench::open(&config.plugins, &find(&config.plugins.dir, &plugin))?,
    };
    let errors: Vec<_> = bench.pieces().iter().filter_map(|piece| piece.error.as_deref()).collect();
    if !errors.is_empty() {
        println!("{}", errors.join("\n"));
        return Ok(ExitCode::FAILURE);
    }
    let system_prompt = config.chat.system_prompt;
    let params = config.generation;
    let rehearsal = Rehearsal { message, reply, user, system_prompt, params, ..Rehearsal::default() };
    let rehearsed = bench.rehearse(&rehearsal).await;
    let (text, failed) = (rehearsed.to_string(), rehearsed.failed);
    let same = match golden {
        None => {
            print!("{text}");
            true
        }
        Some(file) => compare(&file, &text, update)?,
    };
    Ok(if same && !failed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An id means a plugin of the folder; everything else is a path.
fn find(dir: &Path, plugin: &str) -> PathBuf {
    let file = dir.join(format!("{plugin}.rhai"));
    match is_plugin_id(plugin) {
        true if file.exists() => file,
        true => dir.join(plugin),
        false => plugin.into(),
    }
}

/// Whether the output is as in the file; where it is not, prints the difference.
fn compare(golden: &Path, text: &str, update: bool) -> Result<bool, Box<dyn Error>> {
    if update {
        fs::write(golden, text).map_err(|error| format!("{}: {error}", golden.display()))?;
        println!("{}", golden.display());
        return Ok(true);
    }
    let expected = fs::read_to_string(golden)
        .map_err(|error| format!("{}: {error}; --update writes it", golden.display()))?;
    if expected == text {
        return Ok(true);
    }
    println!("{} is different; - is what it says, + is what came, --update takes that:", golden.display());
    print!("{}", diff(&expected, text));
    Ok(false)
}

fn names(hooks: &[Hook]) -> String {
    hooks.iter().map(|hook| hook.name()).collect::<Vec<_>>().join(", ")
}
