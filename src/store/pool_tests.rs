use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rocket::fairing::AdHoc;
use rocket::figment::Figment;
use sqlx::{AnyConnection, Connection};
use tempfile::TempDir;

use super::testing::{store, turn, user};
use super::{Database, FiresidePool, Store, StoreError, sqlite_url};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// A store on the same database whose settings a test can change, because it has one connection.
async fn one_connection(folder: &TempDir) -> Store {
    FiresidePool::open(&sqlite_url(&folder.path().join("fireside.db")), 1).await.unwrap().store()
}

#[tokio::test]
async fn s29_the_database_is_private_to_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data of 50%?#/fireside.db");

    let store = Store::open(&sqlite_url(&file)).await.unwrap();
    user(&store, "ada").await;

    assert_eq!(mode(file.parent().unwrap()), 0o700);
    for path in [file.clone(), file.with_extension("db-wal"), file.with_extension("db-shm")] {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn s29_a_database_that_others_could_read_becomes_private() {
    let (folder, store) = store().await;
    store.close().await;
    let file = folder.path().join("fireside.db");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();

    Store::open(&sqlite_url(&file)).await.unwrap();

    assert_eq!(mode(&file), 0o600);
}

#[tokio::test]
async fn every_connection_has_our_settings() {
    let (_folder, store) = store().await;
    let mut connections = Vec::new();
    for _ in 0..super::pool::MAX_CONNECTIONS {
        connections.push(store.pool.acquire().await.unwrap());
    }

    for connection in &mut connections {
        let journal: String =
            sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut **connection).await.unwrap();
        assert_eq!(journal, "wal");
        for (pragma, expected) in [
            ("PRAGMA synchronous", 2),
            ("PRAGMA foreign_keys", 1),
            ("PRAGMA trusted_schema", 0),
            ("PRAGMA busy_timeout", 5000),
        ] {
            let value: i64 = sqlx::query_scalar(pragma).fetch_one(&mut **connection).await.unwrap();
            assert_eq!(value, expected, "{pragma}");
        }
    }
}

#[tokio::test]
async fn what_is_kept_survives_closing_and_opening() {
    let (folder, store) = store().await;
    let ada = user(&store, "ada").await;
    store.close().await;

    let store = Store::open(&sqlite_url(&folder.path().join("fireside.db"))).await.unwrap();

    assert_eq!(store.find_user(ada.id).await.unwrap(), ada);
}

#[tokio::test]
async fn an_unusable_url_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.db"), "These are notes and not a database at all.").unwrap();
    let notes = sqlite_url(&folder.path().join("notes.db"));
    let below_a_file = sqlite_url(&folder.path().join("notes.db/fireside.db"));

    for (url, reason) in [
        ("postgres://me:hunter2@host/db", "this build speaks sqlite only"),
        ("data/fireside.db", "has no scheme"),
        ("sqlite::memory:", "names no file"),
        ("sqlite:x.db?mode=nonsense", "is not understood"),
        (notes.as_str(), "not a database"),
        (below_a_file.as_str(), "cannot be opened"),
    ] {
        let refused = Store::open(url).await.unwrap_err().to_string();
        assert!(refused.contains(reason) && !refused.contains("hunter2"), "{refused}");
    }
}

#[tokio::test]
async fn f19_a_database_of_a_newer_version_is_left_alone() {
    let (folder, store) = store().await;
    let newer = "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1";
    sqlx::query(newer).execute(&store.pool).await.unwrap();
    store.close().await;

    let refused = Store::open(&sqlite_url(&folder.path().join("fireside.db"))).await.unwrap_err();

    assert!(refused.to_string().contains("a newer version of Fireside has written it"), "{refused}");
}

#[tokio::test]
async fn f18_a_locked_database_is_unavailable_and_half_a_turn_is_not_written() {
    let (folder, store) = store().await;
    let ada = user(&store, "ada").await.id;
    let conversation = store.create_conversation(ada).await.unwrap().id;
    let store = one_connection(&folder).await;
    sqlx::query("PRAGMA busy_timeout = 10").execute(&store.pool).await.unwrap();
    let mut other = AnyConnection::connect(&sqlite_url(&folder.path().join("fireside.db"))).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();

    let refused = store.begin_turn(ada, conversation, turn("Hi")).await;

    assert!(matches!(refused, Err(StoreError::Unavailable(..))), "{refused:?}");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(store.branch(ada, conversation).await.unwrap(), []);
    store.begin_turn(ada, conversation, turn("Hi")).await.unwrap();
}

#[tokio::test]
async fn f17_a_full_disk_is_unavailable_and_half_a_turn_is_not_written() {
    let (folder, store) = store().await;
    let ada = user(&store, "ada").await.id;
    let conversation = store.create_conversation(ada).await.unwrap().id;
    let store = one_connection(&folder).await;
    sqlx::query("PRAGMA max_page_count = 1").execute(&store.pool).await.unwrap();

    let refused =
        store.begin_turn(ada, conversation, turn(&"Hi".repeat(50_000))).await.map(drop).unwrap_err();

    assert_eq!(refused.to_string(), "The disk is full. Free some space, then try again.");
    assert_eq!(store.branch(ada, conversation).await.unwrap(), []);
    // The next connection has room again, and the one that failed does not come back from the pool.
    store.begin_turn(ada, conversation, turn("Hi")).await.unwrap();
}

#[tokio::test]
async fn rocket_manages_a_store_that_later_fairings_find() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite_url(&folder.path().join("fireside.db"));
    let figment = Figment::from(rocket::Config::debug_default())
        .select(rocket::Config::DEBUG_PROFILE)
        .merge(("databases.fireside.url", url));

    let rocket = rocket::custom(figment)
        .attach(Database::stage())
        .attach(AdHoc::try_on_ignite("later", |rocket| async {
            if rocket.state::<Store>().is_some() { Ok(rocket) } else { Err(rocket) }
        }))
        .ignite()
        .await
        .unwrap();

    let store = rocket.state::<Store>().unwrap();
    assert_eq!(store.count_users().await.unwrap(), 0);
}
