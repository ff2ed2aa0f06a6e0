use super::store::Found;
use super::trail::Trail;
use crate::domain::{ConversationId, UserId};

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
