use super::fit::LEAST_ROOM;
use super::{Origin, Prompt, PromptBuilder, Segment};
use crate::engine::EngineError;

impl PromptBuilder {
    /// The prompt with other segments in place of its own. One that it had before keeps its origin and the model's own tokens;
    /// any other is text that parses no special token, whatever it claims to be.
    pub(in crate::engine) fn rewrite(
        &self,
        prompt: Prompt,
        segments: Vec<(Origin, String)>,
        max_tokens: usize,
    ) -> Result<Prompt, EngineError> {
        let before = prompt.segments;
        let segments = segments.into_iter().map(|(origin, text)| {
            let same = before.iter().find(|segment| segment.origin == origin && segment.text == text);
            let new = || Segment::new(Origin::Plugin, None, text);
            same.cloned().unwrap_or_else(new)
        });
        let segments: Vec<_> = segments.collect();
        let tokens = self.tokens(&segments);
        let limit = self.n_ctx - max_tokens.min(LEAST_ROOM).min(self.n_ctx / 4);
        if tokens.len() > limit {
            return Err(EngineError::TooLong { tokens: tokens.len(), limit });
        }
        Ok(Prompt { segments, left_out: prompt.left_out, tokens })
    }
}
