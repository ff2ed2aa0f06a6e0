//! A copy of the database, and whether it can be read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, absolute};

use super::{Store, StoreError};

impl Store {
    /// Writes a consistent copy of the database into a new file, readable by its owner only, while readers and
    /// writers go on. It is whole and on disk when this returns; after a failure nothing is left of it.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the file exists already or cannot be written.
    pub async fn backup_to(&self, file: &Path) -> Result<(), StoreError> {
        let refused = |why: &dyn std::fmt::Display| {
            StoreError::Refused(format!("No backup was written to {}: {why}.", file.display()))
        };
        // Absolute, so that SQLite does not take a name such as `file:x` for a URI.
        let path = absolute(file).map_err(|e| refused(&e))?;
        let Some(target) = path.to_str() else {
            return Err(refused(&"its name is not UTF-8"));
        };
        // An empty file of ours: SQLite fills it and leaves its mode alone.
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(|e| {
            match e.kind() {
                io::ErrorKind::AlreadyExists => refused(&"a file of this name exists already"),
                _ => refused(&e),
            }
        })?;
        if let Err(damage) = self.check().await {
            std::fs::remove_file(&path).map_err(|e| refused(&e))?;
            return Err(refused(&damage.to_string().trim_end_matches('.')));
        }
        let copied = sqlx::query("VACUUM INTO $1").bind(target).execute(&self.pool).await;
        let written = match copied {
            Ok(_) => sync(&path).await.map_err(|e| refused(&e)),
            Err(e) => Err(refused(&e)),
        };
        if written.is_err()
            && let Err(e) = std::fs::remove_file(&path)
        {
            tracing::warn!(file = %path.display(), error = %e, "an unfinished backup could not be removed");
        }
        written
    }
}

impl Store {
    /// Reads the whole database once.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when a part of it cannot be read.
    pub async fn check(&self) -> Result<(), StoreError> {
        let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&self.pool).await?;
        match found.as_str() {
            "ok" => Ok(()),
            _ => {
                Err(StoreError::Damaged(format!(" ({})", found.replace('\n', " ").trim_matches(['*', ' ']))))
            }
        }
    }

    /// Bytes of the database.
    pub async fn size(&self) -> Result<u64, StoreError> {
        let size =
            sqlx::query_scalar("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size");
        let size: i64 = size.fetch_one(&self.pool).await?;
        Ok(size.cast_unsigned())
    }
}

/// Waits until a file is on disk: SQLite does not sync what `VACUUM INTO` writes.
async fn sync(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || File::open(path)?.sync_all()).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::store::sqlite_url;
    use crate::store::testing::{store, turn, user};

    #[tokio::test]
    async fn s29_a_backup_of_a_live_database_opens_and_is_private() {
        let (folder, store) = store().await;
        let ada = user(&store, "ada").await;
        let conversation = store.create_conversation(ada.id).await.unwrap().id;
        let turn = store.begin_turn(ada.id, conversation, turn("Hi")).await.unwrap();
        let file = folder.path().join("it's a backup.db");
        let mut writer = store.write().await.unwrap();
        sqlx::query("UPDATE messages SET content = 'later'").execute(&mut *writer).await.unwrap();

        store.backup_to(&file).await.unwrap();
        writer.commit().await.unwrap();

        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let copy = Store::open(&sqlite_url(&file)).await.unwrap();
        assert_eq!(copy.branch(ada.id, conversation).await.unwrap(), [turn.user_message, turn.reply]);
        assert_eq!(store.branch(ada.id, conversation).await.unwrap()[0].content, "later");
    }

    #[tokio::test]
    async fn a_backup_overwrites_nothing() {
        let (folder, store) = store().await;
        let file = folder.path().join("precious.txt");
        std::fs::write(&file, "precious").unwrap();

        let refused = store.backup_to(&file).await.unwrap_err().to_string();

        assert!(refused.contains("precious.txt: a file of this name exists already"), "{refused}");
        assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn a_backup_that_fails_leaves_no_file() {
        let (folder, store) = store().await;
        let file = folder.path().join("copy.db");
        store.close().await;

        let refused = store.backup_to(&file).await;

        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
        assert!(!file.exists());
    }
}
