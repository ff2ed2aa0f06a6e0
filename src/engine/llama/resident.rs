use super::store::Found;
use super::trail::Trail;
use crate::domain::{ConversationId, UserId};
use crate::engine::backend::Request;

/// Fewer tokens are computed again as fast as they are saved and brought back.
const WORTH_SAVING: usize = 64;

/// What a context can hold, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Sequences of requests.
    pub(super) sequences: usize,
    /// Of these, how many may stay without a request.
    pub(super) idle: usize,
    /// Tokens in all, where sequences share them.
    pub(super) capacity: usize,
    /// Whether a sequence can be gone on with only from its end: recurrent models cannot forget.
    pub(super) whole: bool,
}

/// A sequence that holds something.
pub(super) struct Resident {
    pub(super) user: UserId,
    pub(super) conversation: Option<ConversationId>,
    pub(super) trail: Trail,
    /// What will follow in its next turn as far as that is known, and can be read before somebody waits for it.
    pub(super) next: Vec<i32>,
    /// Tokens it may come to have, while a request runs in it.
    pub(super) limit: Option<usize>,
    pub(super) used: u64,
    /// Whether the store has it as it is.
    pub(super) saved: bool,
    /// Whether nothing of it may stay.
    pub(super) condemned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Source {
    Nothing,
    Resident(usize),
    Operator,
    Store(Found),
}

impl Resident {
    pub(super) fn room(&self) -> usize {
        self.limit.unwrap_or(self.trail.len())
    }

    pub(super) fn is_worth_saving(&self) -> bool {
        !self.saved && !self.condemned && self.trail.len() >= WORTH_SAVING
    }
}

/// The sequences of requests, and what each holds.
pub(super) struct Residents {
    /// By sequence.
    slots: Vec<Option<Resident>>,
    /// Of what is opened and closed; which was used last is told by it.
    clock: u64,
}

impl Residents {
    /// `sequences` with nothing in them.
    pub(super) fn new(sequences: usize) -> Self {
        Self { slots: std::iter::repeat_with(|| None).take(sequences).collect(), clock: 0 }
    }

    /// Sequences that there are.
    pub(super) fn sequences(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn get(&self, sequence: usize) -> Option<&Resident> {
        self.slots[sequence].as_ref()
    }

    pub(super) fn get_mut(&mut self, sequence: usize) -> Option<&mut Resident> {
        self.slots[sequence].as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Resident)> {
        self.slots.iter().enumerate().filter_map(|(sequence, slot)| Some((sequence, slot.as_ref()?)))
    }

    /// Puts a request that comes to at most `limit` tokens into a sequence with nothing in it, if there is one.
    pub(super) fn settle(&mut self, request: &Request, limit: usize) -> Option<usize> {
        // The lowest: llama.cpp computes neighbours together.
        let sequence = self.slots.iter().position(Option::is_none)?;
        self.slots[sequence] = Some(Resident {
            user: request.user,
            conversation: request.task.conversation,
            trail: Trail::default(),
            next: Vec::new(),
            limit: Some(limit),
            used: self.tick(),
            saved: false,
            condemned: false,
        });
        Some(sequence)
    }

    /// Hands a sequence as it is to a request that comes to at most `limit` tokens.
    pub(super) fn claim(&mut self, sequence: usize, request: &Request, limit: usize) {
        let used = self.tick();
        let Some(resident) = self.get_mut(sequence) else { return };
        (resident.limit, resident.used) = (Some(limit), used);
        resident.conversation = request.task.conversation;
        resident.next.clear();
    }

    /// The request in a sequence is over; what it held, if anything.
    pub(super) fn rest(&mut self, sequence: usize) -> Option<&mut Resident> {
        let used = self.tick();
        let resident = self.get_mut(sequence)?;
        (resident.limit, resident.used) = (None, used);
        Some(resident)
    }

    /// Keeps a sequence from being pushed out until it is given back the limit that it had, which is returned.
    pub(super) fn hold(&mut self, sequence: usize) -> Option<usize> {
        let resident = self.get_mut(sequence)?;
        let room = resident.room();
        resident.limit.replace(room)
    }

    pub(super) fn remove(&mut self, sequence: usize) {
        self.slots[sequence] = None;
    }

    /// Tokens that must fit, of all sequences.
    pub(super) fn room(&self) -> usize {
        self.iter().map(|(_, resident)| resident.room()).sum()
    }

    pub(super) fn has_free(&self) -> bool {
        self.slots.iter().any(Option::is_none)
    }

    /// Sequences that hold something and have no request.
    pub(super) fn idle(&self) -> impl Iterator<Item = (usize, &Resident)> {
        self.iter().filter(|(_, resident)| resident.limit.is_none())
    }

    /// What is known to follow in the sequence that was closed last of those of which something is. It is told once.
    pub(super) fn expected(&mut self) -> Option<(usize, Vec<i32>)> {
        let expecting = self.iter().filter(|(_, resident)| !resident.next.is_empty());
        let (sequence, _) = expecting.max_by_key(|(_, resident)| resident.used)?;
        Some((sequence, std::mem::take(&mut self.get_mut(sequence)?.next)))
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}
