//! Composition root: configuration in, a running server out; the only file that sees every room.

mod data_dir;

use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use figment::providers::{Env, Format, Serialized, Toml};
use figment::{Figment, Profile};
use rocket::config::SecretKey;
use rocket::fairing::AdHoc;
use rocket::{Build, Ignite, Rocket};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::accounts::Accounts;
use crate::chat::{self, Chat};
use crate::config::{Config, ConfigError};
use crate::engine::{Engine, EngineError, EngineOptions, EngineState};
use crate::plugins::Plugins;
use crate::store::{Database, Store, StoreError, sqlite_url};
use crate::web::{self, KnownHostsOnly, Texts, TextsError};

/// How long running replies get to store their text when the server is told to stop.
const SAVE_WITHIN: Duration = Duration::from_millis(1_500);

/// How long the database gets to close.
const CLOSE_WITHIN: Duration = Duration::from_millis(300);

/// How long the model's thread gets to end its step and to save what is in its memory.
const ENGINE_WITHIN: Duration = Duration::from_secs(4);

/// Why the server did not start, or ended: one sentence.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The model.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What pages say.
    #[error(transparent)]
    Texts(#[from] TextsError),
    /// A file or folder of the server's own.
    #[error("{}: {error}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Two servers would spoil each other's replies.
    #[error("Another Fireside is running on {}; stop it first, or give this one its own data_dir.", .0.display())]
    InUse(PathBuf),
    /// What stands in the key's file is no key.
    #[error("{} is damaged. Put it back from a backup, or delete it: a new one is made, and everybody signs in again.", .0.display())]
    Key(PathBuf),
    /// The model failed after the start.
    #[error("{0}")]
    Model(String),
    /// Rocket did not start, or ended.
    #[error("{0}")]
    Rocket(String),
}

/// The merged configuration: built-in defaults, `Rocket.toml`, `.env`, environment (later ones win).
///
/// `.env` becomes part of the environment here, where it is not set there already.
pub fn figment() -> Result<Figment, AppError> {
    match dotenvy::from_path(".env") {
        Err(error) if !error.not_found() => {
            return Err(ConfigError::new(format!(".env: {error}. A line is KEY=value.")).into());
        }
        _ => {}
    }
    let predecessor = |name: &'static str, key: &'static str| {
        Env::raw().only(&[name]).map(move |_| key.into()).split("__").global()
    };
    // Rocket believes a header that any client can send; a file or the environment that names one is believed instead.
    Ok(Figment::from(rocket::Config::default())
        .merge(Serialized::default(rocket::Config::IP_HEADER, false))
        .merge(Toml::file(Env::var_or("ROCKET_CONFIG", "Rocket.toml")).nested())
        .merge(Env::prefixed("ROCKET_").ignore(&["PROFILE"]).global())
        .select(Profile::from_env_or("ROCKET_PROFILE", rocket::Config::DEFAULT_PROFILE))
        .merge(predecessor("CHAT_MODEL_GGUF", "llm__model"))
        .merge(predecessor("CHAT_DB_PATH", "databases__fireside__url"))
        .merge(Env::prefixed("FIRESIDE_").split("__").global()))
}

/// The runtime with the threads that Rocket's keys `workers` and `max_blocking` ask for.
pub fn runtime(figment: &Figment) -> Result<Runtime, AppError> {
    let threads = |key| {
        let number = figment.extract_inner::<NonZero<usize>>(key);
        number.map(NonZero::get).map_err(|error| ConfigError::from_figment(figment, error))
    };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads("workers")?)
        .max_blocking_threads(threads("max_blocking")?)
        .enable_all()
        .build()
        .map_err(|error| AppError::Rocket(format!("The threads of the server did not start: {error}.")))
}

/// The database without a server, for the command line.
pub async fn open_store(figment: &Figment, config: &Config) -> Result<Store, AppError> {
    data_dir::make(&config.server.data_dir)?;
    Ok(Store::open(&database_url(figment, config)?).await?)
}

/// Where the model's memory of conversations is saved.
pub fn kv_dir(config: &Config) -> PathBuf {
    config.server.data_dir.join("kv")
}

/// Runs the server until it is told to stop.
pub async fn serve(figment: Figment) -> Result<(), AppError> {
    let config = Config::extract(&figment)?;
    let texts = Texts::load(Path::new("texts"), &config.chat.language)?;
    data_dir::make(&config.server.data_dir)?;
    let _lock = data_dir::lock(&config.server.data_dir)?;
    let figment = with_derived(figment, &config)?;
    let options =
        EngineOptions { system_prompt: config.chat.system_prompt.clone(), kv_dir: Some(kv_dir(&config)) };
    let engine = Engine::start(config.llm.clone(), options)?;
    let rocket = rocket(figment, config, texts, engine.clone()).ignite().await.map_err(rocket_error)?;
    stop_on_signal_or_failure(&rocket, &engine)?;
    let store = rocket.state::<Store>().cloned();
    match rocket.launch().await {
        Err(error) if matches!(error.kind(), rocket::error::ErrorKind::Shutdown(..)) => {
            tracing::warn!("some requests did not end in time");
        }
        ended => drop(ended.map_err(rocket_error)?),
    }
    let state = engine.state();
    if let Some(store) = store
        && tokio::time::timeout(CLOSE_WITHIN, store.close()).await.is_err()
    {
        tracing::warn!("the database did not close in time");
    }
    engine.shutdown();
    if !engine.stopped(ENGINE_WITHIN).await {
        tracing::warn!("the model did not end its last step in time");
    }
    match state {
        EngineState::Failed(sentence) => Err(AppError::Model(sentence)),
        _ => Ok(()),
    }
}

fn rocket(figment: Figment, config: Config, texts: Texts, engine: Engine) -> Rocket<Build> {
    let machine = rustix::system::uname();
    let hosts = KnownHostsOnly::new(&config.server.hosts, &machine.nodename().to_string_lossy());
    rocket::custom(figment)
        .attach(Database::stage())
        .attach(AdHoc::try_on_ignite("rooms", |rocket| async {
            match rocket.state::<Store>().cloned() {
                Some(store) => attach_rooms(rocket, store, config, engine).await,
                None => Err(rocket),
            }
        }))
        .attach(web::stage(texts, hosts))
        .attach(AdHoc::on_liftoff("address", |rocket| {
            Box::pin(async {
                let config = rocket.config();
                println!("Fireside is at http://{}", SocketAddr::new(config.address, config.port));
            })
        }))
}

async fn attach_rooms(
    rocket: Rocket<Build>,
    store: Store,
    config: Config,
    engine: Engine,
) -> Result<Rocket<Build>, Rocket<Build>> {
    if let Err(error) = chat::check_database(&store).await {
        tracing::error!("{error}");
        return Err(rocket);
    }
    match store.interrupt_unfinished().await {
        Ok(0) => {}
        Ok(count) => tracing::warn!(count, "replies were cut off when the server last ended"),
        Err(error) => {
            tracing::error!(%error, "the database cannot be used");
            return Err(rocket);
        }
    }
    let stopping = Arc::new(watch::Sender::new(false));
    let services = chat::services(&engine, &store, &config.generation, &config.limits, &stopping);
    let plugins = Plugins::with_services(config.plugins, services);
    if let Err(error) = chat::restore_plugin_states(&plugins, &store).await {
        tracing::error!(%error, "which plugins are on or off cannot be read");
        return Err(rocket);
    }
    let accounts = Accounts::new(store.clone(), config.accounts);
    let chat = Chat::new(store, plugins, engine, config.chat, config.generation, config.limits, stopping);
    chat.keep_house();
    if let Err(error) = chat.load_plugin_choices().await {
        tracing::error!(%error, "the settings of the plugins cannot be read");
        return Err(rocket);
    }
    Ok(rocket.manage(accounts).manage(chat))
}

/// On SIGTERM, SIGINT, SIGHUP or a model that cannot be loaded: first the running replies store their text, while the
/// database is still open; then Rocket ends the streams and leaves.
fn stop_on_signal_or_failure(rocket: &Rocket<Ignite>, engine: &Engine) -> Result<(), AppError> {
    let shutdown = rocket.shutdown();
    let mut failure = engine.watch();
    let chat = rocket.state::<Chat>().cloned();
    let handler =
        |kind| signal(kind).map_err(|error| AppError::Rocket(format!("no signal handler: {error}")));
    let (mut terminate, mut interrupt, mut hangup) = (
        handler(SignalKind::terminate())?,
        handler(SignalKind::interrupt())?,
        handler(SignalKind::hangup())?,
    );
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
            _ = hangup.recv() => tracing::info!("SIGHUP: stopping"),
            Ok(_) = failure.wait_for(|state| matches!(state, EngineState::Failed(_))) => {}
        }
        if let Some(chat) = chat {
            chat.shut_down(SAVE_WITHIN).await;
        }
        shutdown.notify();
    });
    Ok(())
}

/// Rocket's settings that follow from ours.
fn with_derived(figment: Figment, config: &Config) -> Result<Figment, AppError> {
    let url = database_url(&figment, config)?;
    // A character of a form takes up to four bytes, each sent as three.
    let form_bytes = 12 * config.chat.max_message_chars + 64 * 1024;
    let import_bytes = u64::from(config.chat.max_import_mib) << 20;
    let figment = figment
        .merge(("databases.fireside.url", url))
        .merge(("limits.form", form_bytes))
        .merge(("limits.file", import_bytes))
        .merge(("limits.data-form", import_bytes + 64 * 1024))
        .merge(("shutdown.ctrlc", false))
        .merge(("shutdown.signals", Vec::<String>::new()))
        .merge(("shutdown.grace", 1))
        .merge(("shutdown.mercy", 0));
    match figment.extract_inner::<SecretKey>("secret_key") {
        Ok(key) if key.is_provided() => Ok(figment),
        Ok(_) => Ok(figment.merge(("secret_key", data_dir::secret_key(&config.server.data_dir)?))),
        Err(error) => Err(ConfigError::from_figment(&figment, error).into()),
    }
}

/// The configured database, or the file in the data folder. A URL without a scheme is a SQLite file.
fn database_url(figment: &Figment, config: &Config) -> Result<String, AppError> {
    let url = match figment.extract_inner::<String>("databases.fireside.url") {
        Ok(url) => url,
        Err(error) if error.missing() => config.server.data_dir.join("fireside.db").display().to_string(),
        Err(error) => {
            return Err(ConfigError::new(format!("[default.databases.fireside] url: {}.", error.kind)).into());
        }
    };
    Ok(if url.contains(':') { url } else { sqlite_url(Path::new(&url)) })
}

/// Puts Rocket's error into a sentence; asking for the kind also keeps it from panicking when it is dropped.
fn rocket_error(error: rocket::Error) -> AppError {
    use rocket::error::ErrorKind;
    AppError::Rocket(match error.kind() {
        ErrorKind::Bind(error) => {
            format!(
                "The address cannot be opened ({error}). Another program may use it; set ROCKET_PORT to another port."
            )
        }
        ErrorKind::FailedFairings(_) => "The server did not start; the line above says why.".into(),
        ErrorKind::Config(error) => format!("The configuration is wrong: {error}."),
        kind => format!("The server ended: {kind}."),
    })
}
