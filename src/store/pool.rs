//! Opening the database: the pool under Rocket and under the command line, its settings, its file.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rocket::fairing::{AdHoc, Fairing};
use rocket::figment::Figment;
use rocket_db_pools::Database as _;
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Any, AnyConnection, AnyPool, Connection, Executor};
use tokio::sync::{Notify, Semaphore};

use super::{Store, StoreError};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/common");
/// What only SQLite understands. Both count in one sequence.
static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Most connections. Each is a thread, and SQLite lets one of them write at a time.
pub(super) const MAX_CONNECTIONS: u32 = 8;

/// Longest wait for a connection of the pool.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of every SQLite connection. FULL makes a committed turn survive a power cut; a schema that was
/// tampered with may not call functions; what is deleted is overwritten.
const PRAGMAS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                       PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON";

/// The database `[default.databases.fireside]`, as Rocket keeps it.
#[derive(rocket_db_pools::Database)]
#[database("fireside")]
pub struct Database(FiresidePool);

impl Database {
    /// Opens the database when Rocket ignites and manages a [`Store`] on it, which fairings attached later find.
    ///
    /// It stays open while Rocket shuts down, so that running replies can still be saved: whoever launched Rocket
    /// calls [`Store::close`] afterwards.
    pub fn stage() -> AdHoc {
        AdHoc::try_on_ignite("Store", |rocket| async {
            let rocket = Self::init().on_ignite(rocket).await?;
            match Self::fetch(&rocket).map(|database| database.store()) {
                Some(store) => Ok(rocket.manage(store)),
                None => Err(rocket),
            }
        })
    }
}

/// A pool of connections with our settings, migrated. A type of its own, because `rocket_db_pools` brings no
/// driver of this sqlx.
pub struct FiresidePool {
    pool: AnyPool,
    turns: Arc<Semaphore>,
    erasure: Arc<Notify>,
    /// Of temporary conversations.
    memory: AnyPool,
}

impl FiresidePool {
    /// Opens the file of a `sqlite:` URL, made with its folder where they do not exist, and migrates it.
    pub(super) async fn open(url: &str, connections: u32) -> Result<Self, StoreError> {
        let file = sqlite_file(url)?;
        let refused = |why: String| {
            StoreError::Refused(format!("The database {} cannot be opened: {why}.", file.display()))
        };
        make_private(&file).map_err(|e| refused(e.to_string()))?;
        sqlx::any::install_default_drivers();
        let pool = connect(url, connections).await.map_err(|e| match e {
            MigrateError::VersionMissing(_) => refused("a newer version of Fireside has written it".into()),
            MigrateError::Execute(e) => refused(e.to_string()),
            e => refused(e.to_string()),
        })?;
        let memory = in_memory().await.map_err(|e| {
            StoreError::Refused(format!("The database for temporary conversations cannot be made: {e}."))
        })?;
        Ok(Self { pool, turns: Arc::new(Semaphore::new(1)), erasure: Arc::default(), memory })
    }

    /// A handle on this pool.
    pub fn store(&self) -> Store {
        Store {
            pool: self.pool.clone(),
            turns: self.turns.clone(),
            erasure: self.erasure.clone(),
            memory: self.memory.clone(),
        }
    }
}

async fn connect(url: &str, connections: u32) -> Result<AnyPool, MigrateError> {
    // Once without the pool: it would retry a broken file until it times out, and lose the reason.
    let mut probe = AnyConnection::connect(url).await?;
    probe.execute(sqlx::raw_sql(PRAGMAS)).await?;
    probe.close().await?;
    let pool = AnyPoolOptions::new()
        .max_connections(connections.clamp(1, MAX_CONNECTIONS))
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| {
            Box::pin(async move { connection.execute(sqlx::raw_sql(PRAGMAS)).await.map(drop) })
        })
        // A full disk makes SQLite roll back by itself; sqlx then believes for ever that a transaction is open.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .connect(url)
        .await?;
    migrate(&pool).await?;
    Ok(pool)
}

/// A database that ends with the process. It has one connection, which is never let go: it would take everything along.
async fn in_memory() -> Result<AnyPool, MigrateError> {
    let pool = AnyPoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| {
            Box::pin(async move { connection.execute("PRAGMA foreign_keys = ON").await.map(drop) })
        })
        .connect("sqlite::memory:")
        .await?;
    migrate(&pool).await?;
    Ok(pool)
}

async fn migrate(pool: &AnyPool) -> Result<(), MigrateError> {
    let all = MIGRATIONS.iter().chain(SQLITE_MIGRATIONS.iter()).cloned().collect();
    Migrator::with_migrations(all).run(pool).await
}

#[rocket::async_trait]
impl rocket_db_pools::Pool for FiresidePool {
    type Connection = PoolConnection<Any>;
    type Error = rocket_db_pools::Error<StoreError>;

    async fn init(figment: &Figment) -> Result<Self, Self::Error> {
        let config: rocket_db_pools::Config = figment.extract()?;
        let connections = u32::try_from(config.max_connections).unwrap_or(MAX_CONNECTIONS);
        Self::open(&config.url, connections).await.map_err(rocket_db_pools::Error::Init)
    }

    async fn get(&self) -> Result<Self::Connection, Self::Error> {
        self.pool.acquire().await.map_err(|e| rocket_db_pools::Error::Get(e.into()))
    }

    async fn close(&self) {
        self.pool.close().await;
        self.memory.close().await;
    }
}

impl Store {
    /// Opens the database of a `sqlite:` URL without Rocket, for the command line: made where it does not exist,
    /// private to its owner, migrated. A running server is not disturbed.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Ok(FiresidePool::open(url, MAX_CONNECTIONS).await?.store())
    }

    /// Waits until every connection is closed.
    pub async fn close(&self) {
        self.pool.close().await;
        self.memory.close().await;
    }
}

/// The URL of a SQLite file, for `[default.databases.fireside] url`.
pub fn sqlite_url(file: &Path) -> String {
    let path = file.to_string_lossy().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("sqlite:{path}")
}

/// The file that a URL names.
fn sqlite_file(url: &str) -> Result<PathBuf, StoreError> {
    let refused = |why: &str| Err(StoreError::Refused(format!("The database url \"{url}\" {why}.")));
    match url.split_once(':') {
        Some(("sqlite", rest)) if rest.contains(":memory:") || rest.contains("mode=memory") => {
            refused("names no file: every connection would see a database of its own")
        }
        Some(("sqlite", _)) => match SqliteConnectOptions::from_str(url) {
            Ok(options) => Ok(options.get_filename().to_owned()),
            Err(e) => refused(&format!("is not understood: {e}")),
        },
        // Not repeated: the URL of a database server may hold its password.
        Some((scheme, _)) => Err(StoreError::Refused(format!(
            "The database url begins with \"{scheme}:\", and this build speaks sqlite only: use sqlite:<file>."
        ))),
        None => refused("has no scheme: write sqlite:<file>"),
    }
}

/// Makes the file and its folder where they do not exist; the file and what SQLite puts beside it become readable
/// by their owner only.
fn make_private(file: &Path) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    // Never opens a file that exists: closing it would drop the locks that SQLite holds on it in this process.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut path = file.as_os_str().to_owned();
        path.push(suffix);
        match std::fs::set_permissions(&path, Permissions::from_mode(0o600)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}
