use super::{Prompt, PromptBuilder};
use crate::domain::{PromptMessage, Role};
use crate::engine::EngineError;

/// Tokens for the reply that even the shortest prompt leaves free, if the reply may have that many.
pub(super) const LEAST_ROOM: usize = 64;

impl PromptBuilder {
    /// The prompt with as much of the conversation as fits beside room for the reply: `max_tokens`, at most a quarter
    /// of the context. The system messages at the head and the last message stay; the oldest turns (what a person said and the
    /// answers to it) leave first.
    ///
    /// The work grows with the context, not with the conversation: contents are counted from the newest on until they fill
    /// it, and the template is rendered for those only.
    pub(in crate::engine) fn fit(
        &self,
        messages: &[PromptMessage],
        max_tokens: usize,
    ) -> Result<Prompt, EngineError> {
        let room = max_tokens.min(self.n_ctx / 4);
        let limit = self.n_ctx - room;
        let head = messages.iter().take_while(|message| message.role == Role::System).count();
        let starts = turn_starts(messages, head);
        let costs = self.costs(messages, head, limit);

        let mut turn = first_fitting_turn(&starts, &costs, limit, 0);
        loop {
            let start = starts[turn];
            let kept: Vec<_> = messages[..head].iter().chain(&messages[start..]).collect();
            let mut prompt = self.build(&kept)?;
            let tokens = prompt.token_count();
            let shortest = turn + 1 == starts.len();
            let limit = if shortest { self.n_ctx - room.min(LEAST_ROOM) } else { limit };
            if tokens <= limit {
                for message in prompt.segments.iter_mut().filter_map(|segment| segment.message.as_mut()) {
                    *message += if *message < head { 0 } else { start - head };
                }
                return Ok(Prompt { left_out: start - head, ..prompt });
            }
            if shortest {
                return Err(EngineError::TooLong { tokens, limit });
            }
            let known: usize = kept_costs(&costs, head, start).sum();
            let overhead = tokens.saturating_sub(known).div_ceil(kept.len().max(1));
            turn = first_fitting_turn(&starts, &costs, limit, overhead).max(turn + 1);
        }
    }

    /// Tokens of each content; none for those so old that the newer ones alone fill the context.
    fn costs(&self, messages: &[PromptMessage], head: usize, limit: usize) -> Vec<Option<usize>> {
        let mut costs = vec![None; messages.len()];
        let mut sum = 0;
        for at in (0..head).chain((head..messages.len()).rev()) {
            let message = &messages[at];
            let cost = message.token_ids.as_ref().map_or_else(|| self.count(&message.content), Vec::len);
            sum += cost;
            costs[at] = Some(cost);
            if sum > limit {
                break;
            }
        }
        costs
    }
}

/// Where turns begin, oldest first; never empty. The last one stays in every prompt.
fn turn_starts(messages: &[PromptMessage], head: usize) -> Vec<usize> {
    let mut starts: Vec<_> = (head..messages.len()).filter(|&at| messages[at].role == Role::User).collect();
    if starts.first() != Some(&head) {
        starts.insert(0, head);
    }
    starts
}

/// The oldest turn from which on everything may fit, if the template adds `overhead` tokens to each message.
fn first_fitting_turn(starts: &[usize], costs: &[Option<usize>], limit: usize, overhead: usize) -> usize {
    let head = starts[0];
    let fits = |start: usize| {
        let mut sum = 0_usize;
        let mut all = costs[..head].iter().chain(&costs[start..]);
        all.all(|cost| {
            cost.is_some_and(|cost| {
                sum += cost + overhead;
                sum <= limit
            })
        })
    };
    // Later turns hold less, so what fits is a tail of the list.
    starts.partition_point(|&start| !fits(start)).min(starts.len() - 1)
}

fn kept_costs(costs: &[Option<usize>], head: usize, start: usize) -> impl Iterator<Item = usize> {
    costs[..head].iter().chain(&costs[start..]).flatten().copied()
}
