use llama_cpp_2::context::LlamaContext;

use super::cells::Cells;
use super::resident::{Resident, Residents, Rules, Source};
use super::store::{Found, Store};
use super::trail::Trail;
use crate::domain::ConversationId;
use crate::engine::backend::Request;

/// What the context remembers, sequence by sequence, and what it is used for again.
///
/// A conversation's sequence stays after its reply, so that the next turn reads only what is new. Another prompt of the same
/// person that begins alike copies the common part. The least recently used leave for the store when there is no room.
///
/// Invariants: what one person's request left is never used for another's, but for the operator's own beginning; the tokens of
/// what runs, at their longest, and of what stays fit the context, so that no computation ever lacks room.
pub(super) struct Memory<'model> {
    cells: Cells<'model>,
    residents: Residents,
    /// Tokens that are kept of the operator's beginning of every prompt.
    pinned: usize,
    rules: Rules,
    store: Store,
}

impl<'model> Memory<'model> {
    /// An empty memory.
    pub(super) fn new(cells: Cells<'model>, rules: Rules, store: Store) -> Self {
        Self { cells, residents: Residents::new(rules.sequences), pinned: 0, rules, store }
    }

    pub(super) fn context(&mut self) -> &mut LlamaContext<'model> {
        self.cells.context()
    }

    /// Sequences that requests may have.
    pub(super) fn sequences(&self) -> usize {
        self.residents.sequences()
    }

    /// What a sequence holds.
    pub(super) fn trail(&self, sequence: usize) -> Option<&Trail> {
        self.residents.get(sequence).map(|resident| &resident.trail)
    }

    /// Tokens of a prompt that are not in memory.
    pub(super) fn missing(&self, request: &Request) -> usize {
        request.prompt.token_count() - self.best(request).1
    }

    /// A sequence for a request that comes to at most `limit` tokens, and how many tokens of its prompt are in it.
    pub(super) fn open(&mut self, request: &Request, limit: usize) -> Result<(usize, usize), String> {
        let (source, keep) = self.best(request);
        let sequence = match source {
            Source::Resident(sequence) if self.takes_over(request, sequence, keep, limit) => {
                self.residents.claim(sequence, request, limit);
                self.make_room(0)?;
                sequence
            }
            Source::Resident(other) => {
                let before = self.residents.hold(other);
                let sequence = self.empty_sequence(request, limit);
                if let Some(resident) = self.residents.get_mut(other) {
                    resident.limit = before;
                }
                let sequence = sequence?;
                self.copy(other, sequence)?;
                sequence
            }
            Source::Operator => {
                let sequence = self.empty_sequence(request, limit)?;
                if self.pinned == 0 || !self.cells.give_operator(sequence) {
                    // It had to make room, or its bytes are of no use.
                    self.clear(sequence);
                    self.unpin();
                    return self.open(request, limit);
                }
                // As it was read: in a piece of its own.
                self.extend(sequence, &request.prompt.tokens[..self.pinned]);
                sequence
            }
            Source::Store(found) => {
                let sequence = self.empty_sequence(request, limit.max(found.length))?;
                self.residents.claim(sequence, request, limit);
                if !self.bring_back(found, sequence) {
                    self.clear(sequence);
                    self.store.drop_entry(found);
                    return self.open(request, limit);
                }
                sequence
            }
            Source::Nothing => self.empty_sequence(request, limit)?,
        };
        let kept = self.shorten(sequence, keep);
        if kept == request.shared {
            self.pin(sequence);
        }
        Ok((sequence, kept))
    }

    /// Notes tokens that were computed together.
    pub(super) fn extend(&mut self, sequence: usize, tokens: &[i32]) {
        if let Some(resident) = self.residents.get_mut(sequence) {
            resident.trail.extend(tokens);
            resident.saved = false;
        }
    }

    /// Keeps the operator's beginning, where a sequence holds just that.
    pub(super) fn pin(&mut self, sequence: usize) {
        let held = self.trail(sequence).map_or(0, Trail::len);
        if self.pinned == 0 && held > 0 && self.cells.keep_operator(sequence) {
            self.pinned = held;
        }
    }

    fn unpin(&mut self) {
        self.cells.forget_operator();
        self.pinned = 0;
    }

    /// What a failed computation left behind is undefined: nothing of it may stay.
    pub(super) fn spoil(&mut self, sequence: usize) {
        if let Some(resident) = self.residents.get_mut(sequence) {
            resident.condemned = true;
        }
    }

    /// A request is over; its first `keep` tokens may stay.
    pub(super) fn close(&mut self, sequence: usize, keep: usize) {
        let Some(resident) = self.residents.rest(sequence) else { return };
        if resident.condemned || self.shorten(sequence, keep) == 0 {
            self.clear(sequence);
        }
    }

    /// Notes what will follow in the next turn of a request that is over, if it stays.
    pub(super) fn expect(&mut self, sequence: usize, next: Vec<i32>) {
        if let Some(resident) = self.residents.get_mut(sequence) {
            resident.next = next;
        }
    }

    /// The sequence that was closed last of those of which is known what follows, and that, if there is room. It is told once.
    pub(super) fn expected(&mut self) -> Option<(usize, Vec<i32>)> {
        let (sequence, next) = self.residents.expected()?;
        let fits = self.fits(next.len());
        fits.then_some((sequence, next))
    }

    /// Drops all that is kept of a conversation.
    pub(super) fn forget(&mut self, conversation: ConversationId) {
        self.store.forget(conversation);
        for sequence in 0..self.sequences() {
            let Some(resident) = self.residents.get_mut(sequence) else { continue };
            if resident.conversation == Some(conversation) {
                resident.condemned = true;
                if resident.limit.is_none() {
                    self.clear(sequence);
                }
            }
        }
    }

    /// Saves one conversation, or hands one to the disk; whether there was one.
    pub(super) fn tidy(&mut self) -> bool {
        let unsaved = self.residents.idle().find(|(_, resident)| resident.is_worth_saving());
        match unsaved.map(|(sequence, _)| sequence).filter(|_| self.store.is_on()) {
            Some(sequence) => {
                self.save(sequence);
                true
            }
            None => self.store.write_one(),
        }
    }

    /// Where most of a prompt can be had from, and how many tokens.
    fn best(&self, request: &Request) -> (Source, usize) {
        let (prompt, whole) = (&request.prompt.tokens, self.rules.whole);
        let mut best = (Source::Nothing, 0);
        let mut consider = |source, keep| {
            if keep > best.1 {
                best = (source, keep);
            }
        };
        for (sequence, resident) in self.residents.iter() {
            if resident.user == request.user && !resident.condemned {
                consider(Source::Resident(sequence), resident.trail.usable(prompt, whole));
            }
        }
        if self.pinned == request.shared && self.pinned < prompt.len() {
            consider(Source::Operator, self.pinned);
        }
        if let Some(found) = self.store.find(request.user, prompt, whole) {
            consider(Source::Store(found), found.keep);
        }
        best
    }

    /// Whether a request goes on in a sequence itself, not in a copy: if little else of use is in it, or no room for both.
    fn takes_over(&self, request: &Request, sequence: usize, keep: usize, limit: usize) -> bool {
        let Some(resident) = self.residents.get(sequence) else { return false };
        let lost = resident.trail.len() - keep;
        let little_else = match resident.conversation == request.task.conversation {
            true => lost <= keep,
            false => lost == 0,
        };
        resident.limit.is_none() && (little_else || !self.has_room_beside(sequence, limit))
    }

    /// Whether a sequence can stay while another one comes to `limit` tokens.
    fn has_room_beside(&self, sequence: usize, limit: usize) -> bool {
        if !self.cells.are_shared() {
            return self.residents.has_free() || self.residents.idle().any(|(other, _)| other != sequence);
        }
        let others = self.residents.iter().filter(|(other, _)| *other != sequence);
        let running: usize = others.filter_map(|(_, resident)| resident.limit).sum();
        let stays = self.trail(sequence).map_or(0, Trail::len);
        running + stays + limit <= self.rules.capacity
    }

    /// A sequence with nothing in it, for a request that comes to at most `limit` tokens.
    fn empty_sequence(&mut self, request: &Request, limit: usize) -> Result<usize, String> {
        self.make_room(limit)?;
        self.residents.settle(request, limit).ok_or_else(no_room)
    }

    /// Whether there is room for so many tokens more.
    fn fits(&self, tokens: usize) -> bool {
        !self.cells.are_shared() || self.pinned + self.residents.room() + tokens <= self.rules.capacity
    }

    /// Pushes out the least recently used until `tokens` more fit, and one more sequence.
    fn make_room(&mut self, tokens: usize) -> Result<(), String> {
        loop {
            let has_free = tokens == 0 || self.residents.has_free();
            if has_free && self.fits(tokens) && self.residents.idle().count() <= self.rules.idle {
                return Ok(());
            }
            match self.residents.idle().min_by_key(|(_, resident)| resident.used) {
                Some((sequence, _)) => self.push_out(sequence),
                None if self.pinned > 0 => self.unpin(),
                None => return Err(no_room()),
            }
        }
    }

    fn push_out(&mut self, sequence: usize) {
        if self.store.is_on() && self.residents.get(sequence).is_some_and(Resident::is_worth_saving) {
            self.save(sequence);
        }
        self.clear(sequence);
    }

    fn save(&mut self, sequence: usize) {
        let Some(resident) = self.residents.get_mut(sequence) else { return };
        resident.saved = true;
        let Some(state) = self.cells.save(sequence) else { return };
        self.store.put(resident.user, resident.conversation, resident.trail.clone(), state);
    }

    fn bring_back(&mut self, found: Found, sequence: usize) -> bool {
        let Some((state, trail)) = self.store.take_out(found) else { return false };
        let restored = self.cells.restore(sequence, &state);
        if let Some(resident) = self.residents.get_mut(sequence) {
            (resident.trail, resident.saved) = (trail, true);
        }
        restored
    }

    fn copy(&mut self, from: usize, to: usize) -> Result<(), String> {
        if !self.cells.copy(from, to) {
            // Nobody will close a sequence that was never handed out.
            self.clear(to);
            return Err(no_room());
        }
        let trail = self.trail(from).cloned().unwrap_or_default();
        if let Some(resident) = self.residents.get_mut(to) {
            resident.trail = trail;
        }
        Ok(())
    }

    /// Forgets what comes after the first `keep` tokens, or everything where the model cannot do that; what is left.
    fn shorten(&mut self, sequence: usize, keep: usize) -> usize {
        let Some(resident) = self.residents.get_mut(sequence) else { return 0 };
        if keep < resident.trail.len() {
            let keep = if self.cells.forget(sequence, keep) { keep } else { 0 };
            if keep == 0 {
                self.cells.forget(sequence, 0);
            }
            resident.trail.truncate(keep);
            resident.saved = false;
        }
        resident.trail.len()
    }

    fn clear(&mut self, sequence: usize) {
        self.cells.forget(sequence, 0);
        self.residents.remove(sequence);
    }
}

fn no_room() -> String {
    "The model's memory has no room for this request; this should not happen, please report it.".into()
}
