//! The folder that the server writes to: private to its owner, used by one server at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::AppError;

/// Bytes of the secret key. Rocket reads it as twice as many hexadecimal digits.
const KEY_BYTES: usize = 32;

/// Makes the folder where it does not exist, mode 0700.
pub(super) fn make(folder: &Path) -> Result<(), AppError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| file_error(folder, error))
}

/// Keeps a second server away: its start would mark the first one's running replies as interrupted. The lock ends
/// with the process, however that ends.
pub(super) fn lock(folder: &Path) -> Result<File, AppError> {
    let path = folder.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|error| file_error(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AppError::InUse(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(file_error(&path, error)),
    }
}

/// The key that encrypts cookies: made at the first start, mode 0600, and kept, so that people stay signed in over a
/// restart.
pub(super) fn secret_key(folder: &Path) -> Result<String, AppError> {
    let path = folder.join("secret.key");
    match fs::read_to_string(&path) {
        Ok(key) if is_key(key.trim()) => Ok(key.trim().to_owned()),
        Ok(_) => Err(AppError::Key(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_key(&path).map_err(|error| file_error(&path, error))
        }
        Err(error) => Err(file_error(&path, error)),
    }
}

fn is_key(text: &str) -> bool {
    text.len() == 2 * KEY_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The file appears under its name only when all of it is on disk.
fn make_key(path: &Path) -> io::Result<String> {
    let mut bytes = [0_u8; KEY_BYTES];
    getrandom::fill(&mut bytes)?;
    let key: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = path.with_extension("key.part");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(key.as_bytes())?;
    file.sync_all()?;
    fs::rename(part, path)?;
    Ok(key)
}

fn file_error(path: &Path, error: io::Error) -> AppError {
    AppError::File { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_private_and_kept() {
        let folder = tempfile::tempdir().unwrap();

        let first = secret_key(folder.path()).unwrap();
        let second = secret_key(folder.path()).unwrap();

        assert!(is_key(&first));
        assert_eq!(first, second);
        let mode = fs::metadata(folder.path().join("secret.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret.key"), "").unwrap();

        let sentence = secret_key(folder.path()).unwrap_err().to_string();

        assert!(sentence.contains("secret.key"), "{sentence}");
    }

    #[test]
    fn a_folder_has_one_server() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path()).unwrap();

        assert!(matches!(lock(folder.path()), Err(AppError::InUse(_))));
        drop(held);
        assert!(lock(folder.path()).is_ok());
    }
}
