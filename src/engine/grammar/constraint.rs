use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use llguidance::toktrie::{SimpleVob, TokenId};
use llguidance::{CancellationHandle, Matcher};

use super::STACK;

/// The longest that a reply waits for its grammar to work out which tokens may come next. What that may cost is bounded by the
/// compiler's limits, far below this; a machine with much else to do takes longer for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Follows the grammar of one reply, on a thread of its own: the model goes on with other replies meanwhile.
///
/// Dropping it ends the thread within one step.
pub(in crate::engine) struct Constraint {
    chosen: SyncSender<Vec<i32>>,
    answers: Receiver<Result<Allowed, String>>,
    cancellation: Option<CancellationHandle>,
    /// Since when the next answer is awaited.
    since: Instant,
    allowed: Option<Allowed>,
}

/// What may come next.
pub(in crate::engine) struct Allowed {
    mask: SimpleVob,
    /// Tokens that come next for certain.
    pub(in crate::engine) forced: Vec<i32>,
    /// Whether the reply is complete and nothing may follow.
    pub(in crate::engine) is_end: bool,
}

impl Allowed {
    /// Whether a token may come next.
    pub(in crate::engine) fn allows(&self, token: i32) -> bool {
        TokenId::try_from(token).is_ok_and(|token| self.mask.is_allowed(token))
    }
}

impl Constraint {
    /// Begins to work out what may come first. An error is a sentence.
    pub(in crate::engine) fn start(matcher: Matcher) -> Result<Self, String> {
        // One question and one answer are on their way at most.
        let ((chosen, questions), (answer, answers)) = (sync_channel(1), sync_channel(1));
        let cancellation = matcher.cancellation_handle();
        std::thread::Builder::new()
            .name("grammar".into())
            .stack_size(STACK)
            .spawn(move || follow(matcher, &questions, &answer))
            .map_err(|error| format!("The thread for the reply's form did not start: {error}; try again."))?;
        Ok(Self { chosen, answers, cancellation, since: Instant::now(), allowed: None })
    }

    /// What may come next; none where that is still being worked out. An error is a sentence and ends the reply.
    pub(in crate::engine) fn allowed(&mut self) -> Result<Option<&Allowed>, String> {
        if self.allowed.is_none() {
            match self.answers.try_recv() {
                Ok(answer) => self.allowed = Some(answer?),
                Err(TryRecvError::Empty) if self.since.elapsed() < PATIENCE => {}
                Err(TryRecvError::Empty) => return Err(TOO_COSTLY.into()),
                Err(TryRecvError::Disconnected) => {
                    return Err("The form of the reply broke down; try again.".into());
                }
            }
        }
        Ok(self.allowed.as_ref())
    }

    /// Tells which tokens were taken.
    pub(in crate::engine) fn take(&mut self, tokens: Vec<i32>) {
        (self.allowed, self.since) = (None, Instant::now());
        // Fails only when the thread is gone, which the next answer tells.
        drop(self.chosen.try_send(tokens));
    }
}

impl Drop for Constraint {
    fn drop(&mut self) {
        if let Some(cancellation) = &self.cancellation {
            cancellation.cancel();
        }
    }
}

const TOO_COSTLY: &str =
    "The form that the reply must have takes too long to follow; make it simpler and try again.";

fn follow(mut matcher: Matcher, chosen: &Receiver<Vec<i32>>, answer: &SyncSender<Result<Allowed, String>>) {
    loop {
        let allowed = next(&mut matcher);
        let is_over = !matches!(&allowed, Ok(allowed) if !allowed.is_end);
        if answer.send(allowed).is_err() || is_over {
            return;
        }
        let Ok(tokens) = chosen.recv() else { return };
        let tokens: Vec<TokenId> = tokens.into_iter().filter_map(|token| token.try_into().ok()).collect();
        if let Err(error) = matcher.consume_tokens(&tokens) {
            // Err only when the reply is gone.
            drop(answer.send(Err(sentence(&error.to_string()))));
            return;
        }
    }
}

fn next(matcher: &mut Matcher) -> Result<Allowed, String> {
    let is_end = matcher.is_stopped() && !matcher.is_error();
    if is_end {
        return Ok(Allowed { mask: SimpleVob::new(), forced: Vec::new(), is_end });
    }
    let forced: Vec<i32> =
        matcher.compute_ff_tokens().into_iter().filter_map(|token| token.try_into().ok()).collect();
    let mask = match forced.is_empty() {
        true => matcher.compute_mask().map_err(|error| sentence(&error.to_string()))?,
        false => SimpleVob::new(),
    };
    Ok(Allowed { mask, forced, is_end })
}

/// What a person reads of llguidance's error.
fn sentence(error: &str) -> String {
    match is_too_costly(error) {
        true => TOO_COSTLY.into(),
        false => {
            "The form of the reply cannot be followed any further; make it simpler and try again.".into()
        }
    }
}

/// Whether llguidance gave up at one of its limits.
pub(super) fn is_too_costly(error: &str) -> bool {
    ["too big", "too many", "too complex", "max is", "TooComplex", "limit", "cancelled"]
        .iter()
        .any(|sign| error.contains(sign))
}
