use std::sync::Arc;

use uuid::Uuid;

use super::disk::{Disk, Header};
use super::trail::Trail;
use crate::domain::{ConversationId, UserId};

/// Conversations that left the model's own memory: in RAM, and on disk below the data folder.
///
/// Invariants: both stay within their budgets, the least recently used leave first; an entry is found only by its own
/// person's prompts.
pub(super) struct Store {
    entries: Vec<Entry>,
    ram: Budget,
    disk: Option<Disk>,
    clock: u64,
}

struct Entry {
    id: Uuid,
    header: Header,
    /// None when it lies on disk only.
    state: Option<Arc<Vec<u8>>>,
    saved: Saved,
    used: u64,
}

/// Whether an entry lies on disk.
#[derive(Clone, Copy, PartialEq)]
enum Saved {
    /// Not yet.
    Missing,
    /// Yes, or it is on its way.
    OnDisk,
    /// It is larger than the whole budget.
    TooLarge,
}

/// Bytes that may be used, and bytes that are.
struct Budget {
    most: usize,
    used: usize,
}

/// Where a saved conversation is, for the moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    id: Uuid,
    /// Tokens that come back.
    pub(super) length: usize,
    /// Of these, tokens that the prompt can use.
    pub(super) keep: usize,
}

impl Store {
    /// A store of `ram` bytes, and what earlier runs of the server left on disk.
    pub(super) fn new(ram: usize, mut disk: Option<Disk>) -> Self {
        let found = disk.as_mut().map(Disk::scan).unwrap_or_default();
        let entry = |(used, (id, header))| Entry { id, header, state: None, saved: Saved::OnDisk, used };
        let entries: Vec<_> = (1..).zip(found).map(entry).collect();
        let clock = entries.len() as u64;
        Self { entries, ram: Budget { most: ram, used: 0 }, disk, clock }
    }

    /// The entry of this person of which a prompt can use most.
    pub(super) fn find(&self, user: UserId, prompt: &[i32], whole: bool) -> Option<Found> {
        let own = self.entries.iter().filter(|entry| entry.header.user == user);
        let found = own.map(|Entry { id, header, .. }| Found {
            id: *id,
            length: header.trail.len(),
            keep: header.trail.usable(prompt, whole),
        });
        found.filter(|found| found.keep > 0).max_by_key(|found| found.keep)
    }

    /// The bytes of an entry, and what they hold. None when the disk has lost it; it is forgotten then.
    pub(super) fn take_out(&mut self, found: Found) -> Option<(Arc<Vec<u8>>, Trail)> {
        self.clock += 1;
        let at = self.entries.iter().position(|entry| entry.id == found.id)?;
        let entry = &mut self.entries[at];
        entry.used = self.clock;
        let state = entry.state.clone().or_else(|| {
            let read = self.disk.as_ref()?.read(entry.header.user, entry.id);
            read.inspect_err(
                |error| tracing::warn!(%error, "a saved conversation cannot be read; it is computed again"),
            )
            .ok()
            .map(Arc::new)
        });
        match state {
            Some(state) => Some((state, entry.header.trail.clone())),
            None => {
                self.remove(at);
                None
            }
        }
    }

    /// Forgets an entry that turned out to be useless.
    pub(super) fn drop_entry(&mut self, found: Found) {
        if let Some(at) = self.entries.iter().position(|entry| entry.id == found.id) {
            self.remove(at);
        }
    }

    /// Whether there is any use in saving.
    pub(super) fn is_on(&self) -> bool {
        self.ram.most > 0
    }

    /// Takes a conversation in. What it continues is not needed any more.
    pub(super) fn put(
        &mut self,
        user: UserId,
        conversation: Option<ConversationId>,
        trail: Trail,
        state: Vec<u8>,
    ) {
        self.clock += 1;
        let continued = |entry: &Entry| {
            entry.header.user == user && trail.tokens().starts_with(entry.header.trail.tokens())
        };
        self.remove_where(continued);
        if state.len() > self.ram.most {
            return;
        }
        while self.ram.used + state.len() > self.ram.most {
            self.leave_ram();
        }
        self.ram.used += state.len();
        let header = Header { user, conversation, trail, length: state.len() };
        let (id, state) = (Uuid::new_v4(), Some(Arc::new(state)));
        self.entries.push(Entry { id, header, state, saved: Saved::Missing, used: self.clock });
    }

    /// Hands one entry to the disk that is not there yet; whether there was one.
    pub(super) fn write_one(&mut self) -> bool {
        let Some(disk) = &mut self.disk else { return false };
        let may = |entry: &&mut Entry| !entry.header.conversation.is_some_and(ConversationId::is_temporary);
        let waiting = self.entries.iter_mut().filter(|entry| entry.saved == Saved::Missing).filter(may);
        let Some(entry) = waiting.max_by_key(|entry| entry.used) else { return false };
        let Some(state) = &entry.state else { return false };
        if !disk.fits(state.len()) {
            entry.saved = Saved::TooLarge;
            return true;
        }
        if !disk.write(entry.id, entry.header.clone(), Arc::clone(state)) {
            return false; // The disk is busy; there will be another quiet moment.
        }
        entry.saved = Saved::OnDisk;
        while self.disk.as_ref().is_some_and(Disk::is_over_budget) && self.remove_oldest_on_disk() {}
        true
    }

    /// Forgets every entry of a conversation.
    pub(super) fn forget(&mut self, conversation: ConversationId) {
        self.remove_where(|entry| entry.header.conversation == Some(conversation));
    }

    /// Lets the least recently used entry leave the RAM: it stays on disk, if it is there.
    fn leave_ram(&mut self) {
        let in_ram = self.entries.iter().enumerate().filter(|(_, entry)| entry.state.is_some());
        let Some((at, _)) = in_ram.min_by_key(|(_, entry)| entry.used) else { return };
        if self.entries[at].saved != Saved::OnDisk {
            return self.remove(at);
        }
        let state = self.entries[at].state.take();
        self.ram.used -= state.map_or(0, |state| state.len());
    }

    fn remove_oldest_on_disk(&mut self) -> bool {
        let on_disk = self.entries.iter().enumerate().filter(|(_, entry)| entry.saved == Saved::OnDisk);
        let oldest = on_disk.min_by_key(|(_, entry)| entry.used).map(|(at, _)| at);
        oldest.map(|at| self.remove(at)).is_some()
    }

    fn remove_where(&mut self, is_gone: impl Fn(&Entry) -> bool) {
        while let Some(at) = self.entries.iter().position(&is_gone) {
            self.remove(at);
        }
    }

    fn remove(&mut self, at: usize) {
        let entry = self.entries.swap_remove(at);
        self.ram.used -= entry.state.as_ref().map_or(0, |state| state.len());
        if entry.saved == Saved::OnDisk
            && let Some(disk) = &mut self.disk
        {
            disk.remove(entry.header.user, entry.id, entry.header.length);
        }
    }
}
