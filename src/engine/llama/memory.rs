use llama_cpp_2::context::LlamaContext;

use super::cells::Cells;
use super::resident::{Resident, Rules, Source};
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
    /// By sequence.
    residents: Vec<Option<Resident>>,
    /// Tokens that are kept of the operator's beginning of every prompt.
    pinned: usize,
    rules: Rules,
    store: Store,
    clock: u64,
}

impl<'model> Memory<'model> {
    /// An empty memory.
    pub(super) fn new(cells: Cells<'model>, rules: Rules, store: Store) -> Self {
        let residents = std::iter::repeat_with(|| None).take(rules.sequences).collect();
        Self { cells, residents, pinned: 0, rules, store, clock: 0 }
    }

    pub(super) fn context(&mut self) -> &mut LlamaContext<'model> {
        self.cells.context()
    }

    /// Sequences that requests may have.
    pub(super) fn sequences(&self) -> usize {
        self.residents.len()
    }

    /// What a sequence holds.
    pub(super) fn trail(&self, sequence: usize) -> Option<&Trail> {
        self.residents[sequence].as_ref().map(|resident| &resident.trail)
    }

    /// Tokens of a prompt that are not in memory.
    pub(super) fn missing(&self, request: &Request) -> usize {
        request.prompt.token_count() - self.best(request).1
    }

    /// A sequence for a request that comes to at most `limit` tokens, and how many tokens of its prompt are in it.
    pub(super) fn open(&mut self, request: &Request, limit: usize) -> Result<(usize, usize), String> {
        self.clock += 1;
        let (source, keep) = self.best(request);
        let sequence = match source {
            Source::Resident(sequence) if self.takes_over(request, sequence, keep, limit) => {
                self.claim(sequence, request, limit);
                self.make_room(0)?;
                sequence
            }
            Source::Resident(other) => {
                let before = self.hold(other);
                let sequence = self.empty_sequence(request, limit);
                self.residents[other].iter_mut().for_each(|resident| resident.limit = before);
                let sequence = sequence?;
                let trail = self.trail(other).cloned().unwrap_or_default();
                self.copy(other, sequence, trail)?;
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
                let trail = operator_trail(&request.prompt.tokens[..self.pinned]);
                self.residents[sequence].iter_mut().for_each(|resident| resident.trail = trail.clone());
                sequence
            }
            Source::Store(found) => {
                let sequence = self.empty_sequence(request, limit.max(found.length))?;
                self.claim(sequence, request, limit);
                if !self.bring_back(found, sequence) {
                    self.clear(sequence);
                    self.store.drop_entry(found);
                    return self.open(request, limit);
                }
                sequence
            }
            Source::Nothing => self.empty_sequence(request, limit)?,
        };
        Ok((sequence, self.shorten(sequence, keep)))
    }

    /// Notes tokens that were computed together.
    pub(super) fn extend(&mut self, sequence: usize, tokens: &[i32]) {
        if let Some(resident) = &mut self.residents[sequence] {
            resident.trail.extend(tokens);
            resident.saved = false;
        }
    }

    /// Keeps the operator's beginning, which this sequence has just come to the end of.
    pub(super) fn pin(&mut self, sequence: usize) {
        if self.pinned == 0 && self.cells.keep_operator(sequence) {
            self.pinned = self.trail(sequence).map_or(0, Trail::len);
        }
    }

    fn unpin(&mut self) {
        self.cells.forget_operator();
        self.pinned = 0;
    }

    /// What a failed computation left behind is undefined: nothing of it may stay.
    pub(super) fn spoil(&mut self, sequence: usize) {
        self.residents[sequence].iter_mut().for_each(|resident| resident.condemned = true);
    }

    /// A request is over; its first `keep` tokens may stay.
    pub(super) fn close(&mut self, sequence: usize, keep: usize) {
        self.clock += 1;
        let Some(resident) = &mut self.residents[sequence] else { return };
        (resident.limit, resident.used) = (None, self.clock);
        if resident.condemned || self.shorten(sequence, keep) == 0 {
            self.clear(sequence);
        }
    }

    /// Notes what will follow in the next turn of a request that is over, if it stays.
    pub(super) fn expect(&mut self, sequence: usize, next: Vec<i32>) {
        let Some(resident) = &mut self.residents[sequence] else { return };
        resident.next = next;
    }

    /// The sequence that was closed last of those of which is known what follows, and that, if there is room. It is told once.
    pub(super) fn expected(&mut self) -> Option<(usize, Vec<i32>)> {
        let held: usize = self.residents.iter().flatten().map(Resident::room).sum();
        let residents = self.residents.iter_mut().enumerate();
        let expecting = residents.filter_map(|(sequence, resident)| {
            let resident = resident.as_mut()?;
            (!resident.next.is_empty()).then_some((sequence, resident))
        });
        let (sequence, resident) = expecting.max_by_key(|(_, resident)| resident.used)?;
        let next = std::mem::take(&mut resident.next);
        let fits = !self.cells.are_shared() || self.pinned + held + next.len() <= self.rules.capacity;
        fits.then_some((sequence, next))
    }

    /// Drops all that is kept of a conversation.
    pub(super) fn forget(&mut self, conversation: ConversationId) {
        self.store.forget(conversation);
        for sequence in 0..self.residents.len() {
            let Some(resident) = &mut self.residents[sequence] else { continue };
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
        let unsaved = |resident: &Resident| resident.limit.is_none() && resident.is_worth_saving();
        let sequence = self.residents.iter().position(|slot| slot.as_ref().is_some_and(unsaved));
        match sequence.filter(|_| self.store.is_on()) {
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
        for (sequence, resident) in self.residents.iter().enumerate() {
            if let Some(resident) = resident
                && resident.user == request.user
                && !resident.condemned
            {
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
        let Some(resident) = &self.residents[sequence] else { return false };
        let lost = resident.trail.len() - keep;
        let little_else = match resident.conversation == request.task.conversation {
            true => lost <= keep,
            false => lost == 0,
        };
        resident.limit.is_none() && (little_else || !self.has_room_beside(sequence, limit))
    }

    /// Whether a sequence can stay while another one comes to `limit` tokens.
    fn has_room_beside(&self, sequence: usize, limit: usize) -> bool {
        let others = self.residents.iter().enumerate().filter(|(other, _)| *other != sequence);
        if !self.cells.are_shared() {
            let is_free = |resident: &Option<Resident>| resident.as_ref().is_none_or(|r| r.limit.is_none());
            return others.into_iter().any(|(_, resident)| is_free(resident));
        }
        let running: usize = others.filter_map(|(_, resident)| resident.as_ref()?.limit).sum();
        let stays = self.trail(sequence).map_or(0, Trail::len);
        running + stays + limit <= self.rules.capacity
    }

    fn claim(&mut self, sequence: usize, request: &Request, limit: usize) {
        let clock = self.clock;
        self.residents[sequence].iter_mut().for_each(|resident| {
            (resident.limit, resident.used) = (Some(limit), clock);
            resident.conversation = request.task.conversation;
            resident.next.clear();
        });
    }

    /// Keeps a sequence from being pushed out for a while; what its limit was.
    fn hold(&mut self, sequence: usize) -> Option<usize> {
        let resident = self.residents[sequence].as_mut()?;
        let room = resident.room();
        resident.limit.replace(room)
    }

    /// A sequence with nothing in it, for a request that comes to at most `limit` tokens.
    fn empty_sequence(&mut self, request: &Request, limit: usize) -> Result<usize, String> {
        self.make_room(limit)?;
        // The lowest: llama.cpp computes neighbours together.
        let free = self.residents.iter().position(Option::is_none);
        let Some(sequence) = free else { return Err(no_room()) };
        self.residents[sequence] = Some(Resident {
            user: request.user,
            conversation: request.task.conversation,
            trail: Trail::default(),
            next: Vec::new(),
            limit: Some(limit),
            used: self.clock,
            saved: false,
            condemned: false,
        });
        Ok(sequence)
    }

    /// Pushes out the least recently used until `tokens` more fit, and one more sequence.
    fn make_room(&mut self, tokens: usize) -> Result<(), String> {
        loop {
            let held: usize = self.residents.iter().flatten().map(Resident::room).sum();
            let idle = self.residents.iter().enumerate().filter_map(|(sequence, resident)| {
                let resident = resident.as_ref()?;
                resident.limit.is_none().then_some((resident.used, sequence))
            });
            let idle: Vec<_> = idle.collect();
            let fits = !self.cells.are_shared() || self.pinned + held + tokens <= self.rules.capacity;
            let has_free = tokens == 0 || self.residents.iter().any(Option::is_none);
            if fits && has_free && idle.len() <= self.rules.idle {
                return Ok(());
            }
            match idle.into_iter().min() {
                Some((_, sequence)) => self.push_out(sequence),
                None if self.pinned > 0 => self.unpin(),
                None => return Err(no_room()),
            }
        }
    }

    fn push_out(&mut self, sequence: usize) {
        if self.store.is_on() && self.residents[sequence].as_ref().is_some_and(Resident::is_worth_saving) {
            self.save(sequence);
        }
        self.clear(sequence);
    }

    fn save(&mut self, sequence: usize) {
        let Some(resident) = &mut self.residents[sequence] else { return };
        resident.saved = true;
        let Some(state) = self.cells.save(sequence) else { return };
        self.store.put(resident.user, resident.conversation, resident.trail.clone(), state);
    }

    fn bring_back(&mut self, found: Found, sequence: usize) -> bool {
        let Some((state, trail)) = self.store.take_out(found) else { return false };
        let restored = self.cells.restore(sequence, &state);
        self.residents[sequence].iter_mut().for_each(|resident| {
            (resident.trail, resident.saved) = (trail.clone(), true);
        });
        restored
    }

    fn copy(&mut self, from: usize, to: usize, trail: Trail) -> Result<(), String> {
        if !self.cells.copy(from, to) {
            // Nobody will close a sequence that was never handed out.
            self.clear(to);
            return Err(no_room());
        }
        self.residents[to].iter_mut().for_each(|resident| resident.trail = trail.clone());
        Ok(())
    }

    /// Forgets what comes after the first `keep` tokens, or everything where the model cannot do that; what is left.
    fn shorten(&mut self, sequence: usize, keep: usize) -> usize {
        let Some(resident) = &mut self.residents[sequence] else { return 0 };
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
        self.residents[sequence] = None;
    }
}

/// The operator's beginning, as it was read: in a piece of its own.
fn operator_trail(tokens: &[i32]) -> Trail {
    let mut trail = Trail::default();
    trail.extend(tokens);
    trail
}

fn no_room() -> String {
    "The model's memory has no room for this request; this should not happen, please report it.".into()
}
