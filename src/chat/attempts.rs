//! Further attempts at a reply that a plugin wants written anew.

use crate::domain::{PromptMessage, Role, Usage};
use crate::plugins::{Denied, Retry};

/// How often a reply was begun, and what all attempts cost together.
#[derive(Debug)]
pub(super) struct Attempts {
    retries: u32,
    most: u32,
    spent: Usage,
}

impl Attempts {
    /// For a reply that a plugin may have written anew `most` times.
    pub(super) fn new(most: u32) -> Self {
        Self { retries: 0, most, spent: Usage { prompt_tokens: 0, completion_tokens: 0 } }
    }

    /// Puts the hint where the model reads it last; returns what to tell whoever waits.
    ///
    /// # Errors
    /// [`Denied`] in the plugin's name when it had its attempts.
    pub(super) fn again(
        &mut self,
        retry: Retry,
        messages: &mut Vec<PromptMessage>,
    ) -> Result<String, Denied> {
        if self.retries == self.most {
            let reason = match self.most {
                0 => "it wants another reply, and max_retries in [default.plugins] allows none".into(),
                1 => "it still wants another reply after a second attempt".into(),
                n => format!("it still wants another reply after {n} more attempts"),
            };
            return Err(Denied { plugin: retry.plugin, reason });
        }
        self.retries += 1;
        // A last message of the model's is one that it goes on with.
        let continues = messages.last().is_some_and(|last| last.role == Role::Assistant);
        let hint = PromptMessage { role: Role::System, content: retry.hint, token_ids: None };
        messages.insert(messages.len() - usize::from(continues), hint);
        let (attempt, all) = (self.retries + 1, self.most + 1);
        Ok(format!("The plugin {} wants another reply: attempt {attempt} of at most {all}.", retry.plugin))
    }

    /// What all attempts cost, with the one that ends now.
    pub(super) fn spent(&mut self, usage: Usage) -> Usage {
        self.spent.prompt_tokens = self.spent.prompt_tokens.saturating_add(usage.prompt_tokens);
        self.spent.completion_tokens = self.spent.completion_tokens.saturating_add(usage.completion_tokens);
        self.spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry() -> Retry {
        Retry { plugin: "judge".into(), hint: "Shorter.".into() }
    }

    fn said(role: Role, content: &str) -> PromptMessage {
        PromptMessage { role, content: content.into(), token_ids: None }
    }

    #[test]
    fn the_hint_comes_last_but_before_what_the_model_goes_on_with() {
        let mut messages = vec![said(Role::User, "hi")];
        let mut continued = vec![said(Role::User, "hi"), said(Role::Assistant, "He")];

        let told = Attempts::new(2).again(retry(), &mut messages).unwrap();
        Attempts::new(2).again(retry(), &mut continued).unwrap();

        assert_eq!(told, "The plugin judge wants another reply: attempt 2 of at most 3.");
        assert_eq!(messages, [said(Role::User, "hi"), said(Role::System, "Shorter.")]);
        let hinted = [said(Role::User, "hi"), said(Role::System, "Shorter."), said(Role::Assistant, "He")];
        assert_eq!(continued, hinted);
    }

    #[test]
    fn attempts_are_counted_and_paid() {
        let mut attempts = Attempts::new(1);
        let usage = Usage { prompt_tokens: 10, completion_tokens: 2 };

        attempts.spent(usage);
        attempts.again(retry(), &mut Vec::new()).unwrap();
        let denied = attempts.again(retry(), &mut Vec::new()).unwrap_err();

        assert_eq!(
            denied.to_string(),
            "The plugin judge refused: it still wants another reply after a second attempt"
        );
        assert_eq!(attempts.spent(usage), Usage { prompt_tokens: 20, completion_tokens: 4 });
    }
}
