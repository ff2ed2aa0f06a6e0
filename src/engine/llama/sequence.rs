use std::collections::VecDeque;
use std::time::{Duration, Instant};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use super::chooser::Chooser;
use crate::engine::backend::Step;
use crate::engine::grammar::Constraint;

/// After this time it is looked again whether a reply's grammar is ready.
const GRAMMAR_PAUSE: Duration = Duration::from_millis(1);

/// One request.
pub(super) struct Sequence {
    pub(super) sequence: usize,
    pub(super) prompt: Vec<i32>,
    /// Tokens at the beginning of the prompt that are the operator's.
    pub(super) shared: usize,
    pub(super) reused: usize,
    pub(super) keep_reply: bool,
    /// Whether its person may go on where it ends.
    pub(super) is_awaited: bool,
    pub(super) chooser: Chooser,
    /// What the reply must look like.
    pub(super) constraint: Option<Constraint>,
    /// Most tokens that one computation reads of it.
    pub(super) leap: usize,
    /// Certain to come next, since the grammar leaves no choice.
    pub(super) certain: VecDeque<i32>,
    /// Produced, not yet read by the model itself.
    pub(super) pending: Vec<i32>,
    /// Computed, while the grammar was not ready to choose from it.
    pub(super) logits: Option<Vec<f32>>,
}

impl Sequence {
    /// Chooses from what was computed for it last, as far as the reply's grammar allows: from its own `logits`, where it has
    /// some, else from what was `computed` just now.
    pub(super) fn choose(&mut self, model: &LlamaModel, computed: &[f32]) -> Result<Step, String> {
        let Some(constraint) = &mut self.constraint else {
            let token = self.chooser.choose(computed, None).ok_or(NOTHING_TO_SAY)?;
            return Ok(step(model, token));
        };
        let Some(allowed) = constraint.allowed()? else {
            // The next computation overwrites them.
            self.logits.get_or_insert_with(|| computed.to_vec());
            return Ok(Step::Pause(Instant::now() + GRAMMAR_PAUSE));
        };
        if allowed.is_end {
            return Ok(Step::End);
        }
        if let Some((&token, _)) = allowed.forced.split_first() {
            let tokens = allowed.forced[..allowed.forced.len().min(self.leap)].to_vec();
            self.certain.extend(&tokens[1..]);
            constraint.take(tokens);
            return Ok(Step::Token(token));
        }
        let logits = self.logits.as_deref().unwrap_or(computed);
        let token = self.chooser.choose(logits, Some(allowed)).ok_or(NOTHING_TO_SAY)?;
        constraint.take(vec![token]);
        Ok(step(model, token))
    }
}

const NOTHING_TO_SAY: &str = "The form and the parameters of this reply leave the model nothing to say.";

fn step(model: &LlamaModel, token: i32) -> Step {
    if model.vocab().is_eog(LlamaToken(token)) { Step::End } else { Step::Token(token) }
}
