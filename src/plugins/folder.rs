//! The plugins' folder: which plugins lie in it, whether their files changed, and their text.
//!
//! Invariant: nothing is read that lies outside of the folder, nor outside of its own folder for a plugin that has one. The
//! folder itself may be a link.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use super::fault::Source;

/// Folder of plugins that are shipped as examples and not loaded.
const EXAMPLES: &str = "examples";
/// Main file of a plugin that is a folder.
pub(super) const MAIN: &str = "main.rhai";
/// Most files of a plugin that is a folder.
pub(super) const MAX_FILES: usize = 32;
/// A file that changed this short ago may change again without a visible difference in its times.
const SETTLED: Duration = Duration::from_secs(1);
/// A file that changed this short ago may be half written. Longer than the grain of a file system's clock.
const QUIET: Duration = Duration::from_millis(10);
/// How long a file may take to become quiet, in so many looks.
const LOOKS: usize = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// A plugin's files as they were listed.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The main file in a person's words: `clock.rhai` or `glossary/main.rhai`.
    file: String,
    /// Main file first.
    files: Vec<(PathBuf, Stamp)>,
    /// The folder in which they must lie, without links on the way.
    root: PathBuf,
    /// Why it cannot be a plugin, whatever the files say.
    pub(super) problem: Option<String>,
}

/// What changes when a file does.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_quiet(&self, for_at_least: Duration) -> bool {
        let (seconds, nanos) = self.changed;
        let since_epoch = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let changed = SystemTime::UNIX_EPOCH + since_epoch + Duration::from_nanos(nanos.unsigned_abs());
        // A clock that is behind that of the file system says nothing; what is read twice alike must do then.
        SystemTime::now().duration_since(changed).map_or(true, |age| age >= for_at_least)
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let seconds = u64::try_from(self.changed.0).unwrap_or(0);
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        now.duration_since(changed).is_ok_and(|age| age > SETTLED + Duration::from_secs(1))
    }
}

impl Found {
    /// The files as they are now; nothing for one that is gone.
    fn stamps(&self) -> Vec<Option<Stamp>> {
        let stamp = |path: &PathBuf| fs::metadata(path).map(|metadata| Stamp::of(&metadata)).ok();
        self.files.iter().map(|(path, _)| stamp(path)).collect()
    }

    /// Whether the files are certainly as they were when `before` was listed.
    pub(super) fn is_unchanged_since(&self, before: &Self, now: SystemTime) -> bool {
        self.file == before.file
            && self.files == before.files
            && self.problem == before.problem
            && self.files.iter().all(|(_, stamp)| stamp.is_settled(now))
    }
}

/// Every plugin in the folder, by id.
///
/// # Errors
/// The folder, or one inside it, cannot be listed. A folder that does not exist holds no plugins.
pub(super) fn list(folder: &Path) -> io::Result<BTreeMap<String, Found>> {
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    let root = match fs::canonicalize(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        root => root?,
    };
    for (name, path) in entries(folder)? {
        let Some((id, mut plugin)) = inspect(&name, &path, &root)? else { continue };
        if !is_id(&id) {
            plugin.problem =
                Some("rename it: a plugin's name has small letters, digits, _ and - only".to_owned());
        }
        if let Some(other) = found.get(&id) {
            plugin.problem = Some(format!("{} has the same name; keep one of them", other.file));
        }
        found.insert(id, plugin);
    }
    Ok(found)
}

/// Whether a plugin may be called so.
pub(super) fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// The plugin that a directory entry is, if it is one.
fn inspect(name: &str, path: &Path, root: &Path) -> io::Result<Option<(String, Found)>> {
    let found =
        |file: String, files, root: &Path, problem| Found { file, files, root: root.to_owned(), problem };
    let metadata = match fs::metadata(path) {
        // An entry that goes away meanwhile, or a link to nothing, is no plugin.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A plugin that must not be skipped stays when its file is out of reach.
        Err(error) => {
            let problem = Some(format!("it cannot be read: {error}"));
            let unread = |id: &str| (id.to_owned(), found(name.to_owned(), Vec::new(), root, problem));
            return Ok(name.strip_suffix(".rhai").map(unread));
        }
        Ok(metadata) => metadata,
    };
    if !metadata.is_dir() {
        let Some(id) = name.strip_suffix(".rhai") else { return Ok(None) };
        let files = vec![(path.to_owned(), Stamp::of(&metadata))];
        return Ok(Some((id.to_owned(), found(name.to_owned(), files, root, None))));
    }
    if name == EXAMPLES || !path.join(MAIN).exists() {
        return Ok(None);
    }
    let file = format!("{name}/{MAIN}");
    let own = match inside(path, root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let problem = Some(format!("it cannot be read: {error}"));
            return Ok(Some((name.to_owned(), found(file, Vec::new(), root, problem))));
        }
        Ok(own) => own,
    };
    let mut files = Vec::new();
    for (name, path) in entries(path)? {
        if let Ok(metadata) = fs::metadata(&path)
            && !metadata.is_dir()
            && name.ends_with(".rhai")
        {
            files.push((path, Stamp::of(&metadata)));
        }
    }
    files.sort_by_key(|(path, _)| !path.ends_with(MAIN));
    let problem = (files.len() > MAX_FILES).then(|| format!("it has more than {MAX_FILES} files"));
    Ok(Some((name.to_owned(), found(file, files, &own, problem))))
}

/// Where a path leads, unless that is out of a folder. `root` has no links on its way.
fn inside(path: &Path, root: &Path) -> io::Result<PathBuf> {
    let leads_to = fs::canonicalize(path)?;
    match leads_to.starts_with(root) {
        true => Ok(leads_to),
        false => Err(io::Error::other(
            "it is a link that leads out of its folder, which is not followed; put the file itself there",
        )),
    }
}

/// Name and path of what lies in a folder, in order, without hidden files.
fn entries(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let listing = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing?,
    };
    let mut entries = Vec::new();
    for entry in listing {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            entries.push((name, entry.path()));
        }
    }
    entries.sort();
    Ok(entries)
}

/// A plugin's text, as far as it can be read.
pub(super) struct Text {
    /// What is there; lossy where it is no UTF-8.
    pub(super) source: Source,
    /// Why it cannot be used.
    pub(super) problem: Option<String>,
}

/// Reads a plugin's files, at most `max_bytes` of each, when nobody is writing them; nothing while somebody is. What
/// is half written may well compile, without the hook that stands at its end.
pub(super) fn read(found: &Found, max_bytes: u64) -> Option<Text> {
    read_when_quiet(found, max_bytes, QUIET)
}

fn read_when_quiet(found: &Found, max_bytes: u64, quiet: Duration) -> Option<Text> {
    for look in 0..LOOKS {
        if look > 0 {
            thread::sleep(BETWEEN_LOOKS);
        }
        let before = found.stamps();
        if before.iter().flatten().all(|stamp| stamp.is_quiet(quiet)) {
            let text = read_files(found, max_bytes);
            if found.stamps() == before {
                return Some(text);
            }
        }
    }
    None
}

fn read_files(found: &Found, max_bytes: u64) -> Text {
    let mut problem = found.problem.clone();
    let mut source = Source { file: found.file.clone(), ..Source::default() };
    for (at, (path, _)) in found.files.iter().take(MAX_FILES).enumerate() {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (text, wrong) = read_file(path, &found.root, max_bytes);
        let wrong = wrong.map(|why| if at == 0 { why } else { format!("{name}.rhai: {why}") });
        problem = problem.or(wrong);
        if at == 0 {
            source.text = text;
        } else {
            source.neighbours.push((name, text));
        }
    }
    Text { source, problem }
}

fn read_file(path: &Path, root: &Path, max_bytes: u64) -> (String, Option<String>) {
    let mut bytes = Vec::new();
    let read = || -> io::Result<u64> {
        let file = open(path, root)?;
        file.take(max_bytes + 1).read_to_end(&mut bytes).map(|length| length as u64)
    };
    let problem = match { read }() {
        Err(error) => Some(format!("it cannot be read: {error}")),
        Ok(length) if length > max_bytes => {
            Some(format!("it is larger than max_file_bytes allows ({max_bytes} bytes)"))
        }
        Ok(_) => std::str::from_utf8(&bytes).err().map(|error| {
            let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            format!("it is no UTF-8 text in line {line}")
        }),
    };
    (String::from_utf8_lossy(&bytes).into_owned(), problem)
}

/// Opens a regular file that lies below `root`.
fn open(path: &Path, root: &Path) -> io::Result<File> {
    let path = inside(path, root)?;
    // A link that was put there meanwhile is not followed, and a pipe does not wait for its other end.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        // A device has no end.
        false => Err(io::Error::other("it is no regular file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_just_written_is_not_read_before_it_is_quiet() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.rhai"), "fn on_message(ctx, text) {}").unwrap();
        let found = list(dir.path()).unwrap().remove("a").unwrap();

        let too_soon = read_when_quiet(&found, 1_000, Duration::from_secs(3_600));
        let quiet = read_when_quiet(&found, 1_000, Duration::ZERO).unwrap();

        assert!(too_soon.is_none());
        assert_eq!((quiet.source.text.as_str(), quiet.problem), ("fn on_message(ctx, text) {}", None));
    }
}
