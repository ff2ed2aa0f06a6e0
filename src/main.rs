//! The command line; nothing else.

mod commands;
mod log;

use std::panic;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use figment::Figment;
use fireside::accounts::Accounts;
use fireside::app;
use fireside::config::Config;
use fireside::domain::{ApiKeyId, in_words};
use fireside::engine::{forget_user, settle_environment};

use self::commands::model::ModelCommand;
use self::commands::plugin::PluginCommand;

/// A chat server for language models on your own machine, that you can script.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Start the server (also without any command).
    Serve,
    /// Look after accounts.
    #[command(subcommand)]
    User(UserCommand),
    /// Look after API keys, with which programs use an account.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Write a consistent copy of the database, also while the server runs.
    Backup {
        /// The file to write; it must not exist yet.
        file: PathBuf,
    },
    /// Look after models.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Look after plugins.
    #[command(subcommand)]
    Plugin(PluginCommand),
}

#[derive(Subcommand)]
enum UserCommand {
    /// List the accounts.
    List,
    /// Give an account a new password, print it, and sign it out everywhere.
    ResetPassword {
        /// The account's name.
        name: String,
    },
    /// Make an account an administrator.
    Promote {
        /// The account's name.
        name: String,
    },
    /// Delete an account and its conversations.
    Delete {
        /// The account's name.
        name: String,
    },
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Make a key and print it, this once.
    New {
        /// The account's name.
        user: String,
        /// What the key is called.
        #[arg(long, default_value = "command line")]
        name: String,
    },
    /// List an account's keys.
    List {
        /// The account's name.
        user: String,
    },
    /// Delete a key; it opens nothing from now on.
    Delete {
        /// The account's name.
        user: String,
        /// The key's id, as listed.
        id: String,
    },
}

fn main() -> ExitCode {
    // What the server writes is its owner's: files 0600, folders 0700.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    log::to_stderr();
    log::panics();
    let command = Arguments::parse().command.unwrap_or(Command::Serve);
    if matches!(command, Command::Serve)
        && let Err(error) = settle_environment()
    {
        tracing::warn!(%error, "other programs will slow the model down, and memory will be given back, less well than could be");
    }
    open_more_files();
    // A system that gives no thread makes the runtime panic.
    match panic::catch_unwind(|| begin(command)) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => fail(&error),
        Err(_) => fail(&"The server did not start, or could not go on; the line above says why."),
    }
}

/// Fewest files that may be open at a time for a server to be of use to several people: each connection is one.
const FEW_FILES: u64 = 256;

/// Takes as many open files as the system lets this program have; says where that is not much.
fn open_more_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(%error, "the number of open files stays at {current:?}");
    }
    if let Some(files) = getrlimit(Resource::Nofile).current.filter(|files| *files < FEW_FILES) {
        tracing::warn!(
            "only {files} files may be open at a time, and each connection is one: raise the limit (ulimit -n) to 1024 or more"
        );
    }
}

fn begin(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let figment = app::figment()?;
    let runtime = app::runtime(&figment)?;
    let ended = runtime.block_on(run(command, figment));
    // What still runs on a thread that cannot be stopped, such as a plugin's tests, is nobody's any more.
    runtime.shutdown_background();
    ended
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("fireside: {error}");
    ExitCode::FAILURE
}

async fn run(command: Command, figment: Figment) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match command {
        Command::Serve => app::serve(figment).await?,
        Command::Backup { file } => {
            app::open_store(&figment, &Config::extract(&figment)?).await?.backup_to(&file).await?;
            println!("{}", file.display());
        }
        Command::User(command) => user(command, &figment).await?,
        Command::Key(command) => key(command, &accounts(&figment).await?).await?,
        Command::Model(command) => {
            return commands::model::run(command, &Config::extract(&figment)?.llm).await;
        }
        Command::Plugin(command) => {
            return commands::plugin::run(command, Config::extract(&figment)?).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn accounts(figment: &Figment) -> Result<Accounts, Box<dyn std::error::Error>> {
    let config = Config::extract(figment)?;
    Ok(Accounts::new(app::open_store(figment, &config).await?, config.accounts))
}

async fn user(command: UserCommand, figment: &Figment) -> Result<(), Box<dyn std::error::Error>> {
    let accounts = accounts(figment).await?;
    let kv_dir = app::kv_dir(&Config::extract(figment)?);
    match command {
        UserCommand::List => {
            for (user, conversations) in accounts.list().await? {
                println!("{}\t{}\t{conversations} conversations", user.name, user.role.as_str());
            }
        }
        UserCommand::ResetPassword { name } => {
            println!("The new password of {name} is: {}", accounts.reset_password(&name, None).await?);
        }
        UserCommand::Promote { name } => {
            accounts.promote(&name).await?;
            println!("{name} is an administrator now.");
        }
        UserCommand::Delete { name } => {
            let user = accounts.delete(&name).await?;
            forget_user(&kv_dir, user.id)?;
            println!("{name} and all of their conversations are deleted.");
        }
    }
    Ok(())
}

async fn key(command: KeyCommand, accounts: &Accounts) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        KeyCommand::New { user, name } => {
            // Alone on its line, so that a script can take it.
            println!("{}", accounts.create_key(&accounts.find(&user).await?, &name).await?.1);
        }
        KeyCommand::List { user } => {
            for key in accounts.keys(&accounts.find(&user).await?).await? {
                let last_used = key.last_used_at.map_or_else(|| "never".to_owned(), in_words);
                println!("{}\t{}…\t{}\tlast used: {last_used}", key.id, key.hint, key.name);
            }
        }
        KeyCommand::Delete { user, id } => {
            let user = accounts.find(&user).await?;
            accounts.delete_key(&user, id.parse().unwrap_or(ApiKeyId::UNKNOWN)).await?;
            println!("The key {id} is deleted.");
        }
    }
    Ok(())
}
