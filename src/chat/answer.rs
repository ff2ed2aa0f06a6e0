//! What plugins answer in the model's place, and the commands that people type for it.

use super::{Chat, ChatError};
use crate::domain::{ConversationId, Mark, User};
use crate::plugins::{Command, Context, Denied, PluginSet, ResponseAction};

impl Chat {
    /// The commands that a person may type in a conversation, as far as the last look at the plugins' folder knows.
    pub async fn commands(
        &self,
        user: &User,
        conversation: ConversationId,
    ) -> Result<Vec<Command>, ChatError> {
        let choices = self.store.person_choices(user.id, Some(conversation)).await?;
        Ok(self.plugins.last_seen().for_person(&choices).commands())
    }
}

/// Lets the plugins see the answer as they see the model's.
pub(super) async fn release(
    plugins: &PluginSet,
    context: &Context,
    answer: String,
    marks: &mut Vec<Mark>,
) -> Result<String, ChatError> {
    let (answer, skipped) = plugins.stream(context).whole(answer).await.map_err(ChatError::Denied)?;
    marks.extend(skipped);
    if answer.is_empty() {
        return Ok(answer);
    }
    let outcome = plugins.on_response(context, answer).await.map_err(ChatError::Denied)?;
    marks.extend(outcome.marks);
    match outcome.action {
        ResponseAction::Keep(answer) => Ok(answer),
        ResponseAction::Retry(retry) => {
            let reason = "it wants another reply, but this one is a plugin's and not the model's".into();
            Err(ChatError::Denied(Denied { plugin: retry.plugin, reason }))
        }
    }
}
