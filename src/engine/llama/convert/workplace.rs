use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::ConvertError;

/// What the file system may need beyond the file itself.
const ROOM: u64 = 16 << 20;

/// A folder beside the target, in which the new file grows.
///
/// A folder and not only a file: its name can be taken by one conversion only, and once it is gone, a quantizer that has
/// not noticed yet cannot make the file anew.
#[derive(Debug)]
pub(super) struct Workplace {
    folder: PathBuf,
}

impl Workplace {
    /// Takes the name `<target>.part`.
    pub(super) fn beside(target: &Path) -> Result<Self, ConvertError> {
        let mut name = target.file_name().ok_or_else(|| ConvertError::Exists(target.into()))?.to_owned();
        name.push(".part");
        let folder = target.with_file_name(name);
        match fs::create_dir(&folder) {
            Ok(()) => Ok(Self { folder }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(ConvertError::Busy(folder)),
            Err(error) => Err(file_error(&folder, error)),
        }
    }

    /// Where the quantizer writes.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.join("model.gguf")
    }

    /// Fails if a file of this size would not fit.
    pub(super) fn has_room_for(&self, bytes: u64) -> Result<(), ConvertError> {
        const MIB: u64 = 1 << 20;
        let space =
            rustix::fs::statvfs(&self.folder).map_err(|error| file_error(&self.folder, error.into()))?;
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        let needed = bytes.saturating_add(ROOM);
        match free >= needed {
            true => Ok(()),
            false => Err(ConvertError::NoSpace {
                folder: self.folder.parent().unwrap_or(&self.folder).into(),
                needed: needed / MIB,
                free: free / MIB,
            }),
        }
    }

    /// Gives the finished file its name.
    pub(super) fn deliver(&self, target: &Path) -> Result<(), ConvertError> {
        let part = self.file();
        File::open(&part).and_then(|file| file.sync_all()).map_err(|error| file_error(&part, error))?;
        if target.exists() {
            return Err(ConvertError::Exists(target.into()));
        }
        fs::rename(&part, target).map_err(|error| file_error(target, error))
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // The quantizer may put its file there between the two steps of the first attempt.
        let removed = (0..3).map(|_| fs::remove_dir_all(&self.folder)).find(Result::is_ok);
        if removed.is_none() {
            tracing::warn!(folder = %self.folder.display(), "could not be removed; delete it");
        }
    }
}

fn file_error(file: &Path, error: io::Error) -> ConvertError {
    ConvertError::File { file: file.into(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_is_named_with_both_sizes() {
        let folder = tempfile::tempdir().unwrap();
        let workplace = Workplace::beside(&folder.path().join("new.gguf")).unwrap();

        let error = workplace.has_room_for(u64::MAX / 2).unwrap_err();

        assert!(matches!(error, ConvertError::NoSpace { needed, free, .. } if needed > free), "{error}");
        assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
    }
}
