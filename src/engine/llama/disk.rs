use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::trail::Trail;
use crate::domain::{ConversationId, UserId};

/// Conversations on their way to the disk. When so many wait, the next one waits for a later quiet moment.
const ON_THE_WAY: usize = 16;

/// Longest header that is believed: a token takes a few bytes, a context at most a million tokens.
const LONGEST_HEADER: u32 = 64 << 20;

/// What is known of a saved conversation without its state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) user: UserId,
    pub(super) conversation: Option<ConversationId>,
    pub(super) trail: Trail,
    /// Bytes of the state.
    pub(super) length: usize,
}

/// What a file begins with.
#[derive(Serialize, Deserialize)]
struct Preface<H> {
    /// Names the model, the types of its caches and the version of the code: a state of another is no use.
    fingerprint: String,
    #[serde(flatten)]
    header: H,
}

/// The folder of saved conversations: `<dir>/<user>/<id>.kv`, each file the length of a preface, the preface, the state.
///
/// A thread of its own writes, so that no reply waits for the disk; reading is done where it is needed, since it takes less
/// time than one piece of the prompt that it saves. A file is whole or it is not there: it gets its name when it is on the disk.
pub(super) struct Disk {
    dir: PathBuf,
    fingerprint: String,
    budget: usize,
    used: usize,
    /// None only while dropping.
    orders: Option<SyncSender<Order>>,
    writer: Option<JoinHandle<()>>,
}

enum Order {
    Write { path: PathBuf, preface: Preface<Header>, state: Arc<Vec<u8>> },
    Remove(PathBuf),
}

impl Disk {
    /// The folder `dir` with at most `budget` bytes in it.
    pub(super) fn open(dir: PathBuf, budget: usize, fingerprint: String) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let (orders, inbox) = sync_channel(ON_THE_WAY);
        let writer = std::thread::Builder::new().name("kv-disk".into()).spawn(move || carry_out(&inbox))?;
        Ok(Self { dir, fingerprint, budget, used: 0, orders: Some(orders), writer: Some(writer) })
    }

    /// What earlier runs left, the least recently written first. Files of another model, and broken ones, are deleted.
    pub(super) fn scan(&mut self) -> Vec<(Uuid, Header)> {
        let mut found = Vec::new();
        for path in files_below(&self.dir) {
            match self.read_header(&path) {
                Some((written, id, header)) => {
                    self.used += header.length;
                    found.push((written, id, header));
                }
                None => remove(&path),
            }
        }
        found.sort_by_key(|(written, ..)| *written);
        found.into_iter().map(|(_, id, header)| (id, header)).collect()
    }

    fn read_header(&self, path: &Path) -> Option<(std::time::SystemTime, Uuid, Header)> {
        let id = path.file_name()?.to_str()?.strip_suffix(".kv")?.parse().ok()?;
        let mut file = File::open(path).ok()?;
        let metadata = file.metadata().ok()?;
        let (Preface { fingerprint, header }, start) = read_preface::<Header>(&mut file).ok()?;
        let owned = path.parent()?.file_name()?.to_str()? == header.user.to_string();
        let whole = start + header.length as u64 == metadata.len();
        (owned && whole && fingerprint == self.fingerprint).then_some((metadata.modified().ok()?, id, header))
    }

    /// The state of a conversation.
    pub(super) fn read(&self, user: UserId, id: Uuid) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.path(user, id))?;
        let (Preface { header, .. }, _) = read_preface::<Header>(&mut file)?;
        let mut state = Vec::with_capacity(header.length);
        file.read_to_end(&mut state)?;
        if state.len() != header.length {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the file has another length than it says",
            ));
        }
        Ok(state)
    }

    /// Whether so many bytes fit into the whole budget.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        bytes <= self.budget
    }

    pub(super) fn is_over_budget(&self) -> bool {
        self.used > self.budget
    }

    /// Hands a conversation to the writer; false if too many are on the way.
    pub(super) fn write(&mut self, id: Uuid, header: Header, state: Arc<Vec<u8>>) -> bool {
        let (path, bytes) = (self.path(header.user, id), state.len());
        let preface = Preface { fingerprint: self.fingerprint.clone(), header };
        let order = Order::Write { path, preface, state };
        let sent = self.orders.as_ref().is_some_and(|orders| orders.try_send(order).is_ok());
        self.used += if sent { bytes } else { 0 };
        sent
    }

    /// Deletes a conversation of so many bytes, after all that was ordered before: waits for the writer if it must.
    pub(super) fn remove(&mut self, user: UserId, id: Uuid, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
        let path = self.path(user, id);
        let unsent = match &self.orders {
            Some(orders) => orders.send(Order::Remove(path)).map_err(|unsent| unsent.0),
            None => Err(Order::Remove(path)),
        };
        if let Err(Order::Remove(path)) = unsent {
            remove(&path);
        }
    }

    fn path(&self, user: UserId, id: Uuid) -> PathBuf {
        self.dir.join(user.to_string()).join(format!("{id}.kv"))
    }
}

impl Drop for Disk {
    /// Waits until everything that was ordered is on the disk.
    fn drop(&mut self) {
        drop(self.orders.take());
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the thread that saves conversations broke off");
        }
    }
}

fn carry_out(orders: &Receiver<Order>) {
    while let Ok(order) = orders.recv() {
        match order {
            Order::Remove(path) => remove(&path),
            Order::Write { path, preface, state } => {
                if let Err(error) = write(&path, &preface, &state) {
                    tracing::warn!(%error, "a conversation's memory cannot be saved; it is computed again when needed");
                }
            }
        }
    }
}

fn write(path: &Path, preface: &Preface<Header>, state: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let unfinished = path.with_extension("tmp");
    let written = write_to(&unfinished, preface, state).and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        remove(&unfinished);
    }
    written
}

fn write_to(path: &Path, preface: &Preface<Header>, state: &[u8]) -> io::Result<()> {
    let preface = serde_json::to_vec(preface)?;
    let length = u32::try_from(preface.len()).map_err(io::Error::other)?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(&preface)?;
    file.write_all(state)?;
    file.sync_all()
}

/// The preface of a file, and where its state begins.
fn read_preface<H: for<'de> Deserialize<'de>>(file: &mut File) -> io::Result<(Preface<H>, u64)> {
    let mut length = [0; 4];
    file.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > LONGEST_HEADER {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is none of ours"));
    }
    let mut preface = Vec::new();
    Read::by_ref(file).take(length.into()).read_to_end(&mut preface)?;
    Ok((serde_json::from_slice(&preface)?, 4 + u64::from(length)))
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries(dir).flat_map(|folder| entries(&folder).collect::<Vec<_>>()).collect()
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, path = %path.display(), "a saved conversation cannot be deleted");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn header(user: UserId, length: usize) -> Header {
        let mut trail = Trail::default();
        trail.extend(&[1, 2, 3]);
        Header { user, conversation: Some(ConversationId::new()), trail, length }
    }

    fn disk(dir: &Path, fingerprint: &str) -> Disk {
        Disk::open(dir.join("kv"), 1_000, fingerprint.into()).unwrap()
    }

    fn saved(dir: &Path) -> (UserId, Uuid) {
        let (user, id) = (UserId::new(), Uuid::new_v4());
        let mut disk = disk(dir, "a model");
        assert!(disk.write(id, header(user, 5), Arc::new(b"state".to_vec())));
        (user, id)
    }

    #[test]
    fn what_was_saved_is_there_after_a_restart_and_nobody_else_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let (user, id) = saved(dir.path());

        let mut disk = disk(dir.path(), "a model");
        let found = disk.scan();

        assert_eq!((found.len(), found[0].0, found[0].1.user), (1, id, user));
        assert_eq!(found[0].1.trail.tokens(), [1, 2, 3]);
        assert_eq!(disk.read(user, id).unwrap(), b"state");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&disk.path(user, id)), 0o600);
        assert_eq!(mode(disk.path(user, id).parent().unwrap()), 0o700);
    }

    #[test]
    fn files_of_another_model_and_broken_ones_are_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let (user, id) = saved(dir.path());
        let file = dir.path().join(format!("kv/{user}/{id}.kv"));
        let whole = fs::read(&file).unwrap();

        for (content, fingerprint) in [
            (whole.clone(), "another model"),
            (whole[..whole.len() - 1].to_vec(), "a model"),
            (vec![255; 20], "a model"),
            (Vec::new(), "a model"),
        ] {
            fs::write(&file, content).unwrap();

            assert!(disk(dir.path(), fingerprint).scan().is_empty());
            assert!(!file.exists());
        }
    }

    #[test]
    fn what_is_removed_right_after_it_was_written_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let (user, id) = (UserId::new(), Uuid::new_v4());
        let mut disk = disk(dir.path(), "a model");

        disk.write(id, header(user, 5), Arc::new(b"state".to_vec()));
        disk.remove(user, id, 5);
        let path = disk.path(user, id);
        drop(disk);

        assert!(!path.exists());
    }
}
