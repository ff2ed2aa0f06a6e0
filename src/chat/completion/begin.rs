//! What happens to a program's request before the model begins.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Asked, Completion, Source};
use crate::chat::attempts::Attempts;
use crate::chat::render::submit;
use crate::chat::request::CompletionRequest;
use crate::chat::{Chat, ChatError, answer, prompt};
use crate::domain::{Invalid, Mark, PromptMessage, Role, User};
use crate::engine::{Model, Task};
use crate::plugins::{Context, MessageAction, PluginSet, Recorder, RequestSource};

/// The bias that bans a token.
const BAN: f32 = -100.0;

impl Chat {
    /// Begins a reply for a program: takes a place, asks the plugins, lines up. Where the messages carry no system message,
    /// the operator's comes first.
    ///
    /// # Errors
    /// Everything that can be known before the model begins, as of [`Chat::send`].
    pub async fn complete(
        &self,
        user: &User,
        mut request: CompletionRequest,
    ) -> Result<Completion, ChatError> {
        let place = self.engine.reserve(user.id)?;
        let model = Arc::clone(place.model());
        let plugins = self.plugins_of(user, None).await?;
        if request.logprobs.is_some() && plugins.filters_reply() {
            return Err(logprobs_tell_too_much().into());
        }
        let context = context(user, &model);
        let (mut marks, mut opening, mut asked) = (Vec::new(), String::new(), None);
        let source = match on_message(&plugins, &context, &mut request.messages, &mut marks).await? {
            Some(reply) => Source::Plugin(answer::release(&plugins, &context, reply, &mut marks).await?),
            None => {
                let first = self.asked(user, request, &model, &plugins, &context, &mut marks).await?;
                asked = plugins.holds_reply().then(|| first.clone());
                let Asked { messages, task, .. } = first;
                opening = first.opening;
                Source::Model(submit(&plugins, &context, place, messages, task, &mut marks, None).await?)
            }
        };
        Ok(Completion {
            source,
            model,
            stream: plugins.stream(&context),
            stopped: false,
            asked,
            attempts: Attempts::new(plugins.max_retries()),
            plugins,
            context,
            marks,
            opening,
            stopping: self.stopping.subscribe(),
            passed: String::new(),
            ready: VecDeque::new(),
        })
    }

    /// What the engine is asked for, as `on_prompt` leaves it.
    async fn asked(
        &self,
        user: &User,
        request: CompletionRequest,
        model: &Model,
        plugins: &PluginSet,
        context: &Context,
        marks: &mut Vec<Mark>,
    ) -> Result<Asked, ChatError> {
        let CompletionRequest { mut messages, params, ignore_eos, grammar, logprobs } = request;
        if !messages.iter().any(|message| message.role == Role::System) {
            messages.splice(0..0, prompt::system(&self.config.system_prompt));
        }
        let draft = prompt::draft(messages, params, grammar);
        let given = draft.prefill.clone();
        let (draft, skipped) = plugins.on_prompt(context, draft).await.map_err(ChatError::Denied)?;
        let mut request = prompt::request(draft, given.as_deref(), &self.limits, &context.trace.asked());
        marks.extend(skipped.into_iter().chain(request.marks));
        if ignore_eos {
            let bans = model.end_tokens().iter().map(|token| (token.to_string(), BAN));
            request.params.logit_bias.extend(bans);
        }
        let keep_reply = !plugins.filters_reply();
        let task = Task { grammar: request.grammar, logprobs, keep_reply, ..request.params.into() };
        let (messages, opening) = (request.messages, request.opening);
        Ok(Asked { chat: self.clone(), user: user.id, messages, opening, task })
    }
}

fn context(user: &User, model: &Model) -> Context {
    Context {
        source: RequestSource::Api,
        kind: "chat",
        user: user.name.to_string(),
        user_id: user.id,
        conversation: None,
        model: model.name.clone(),
        trace: Recorder::of_parameters(),
    }
}

/// Lets the plugins see the last message of the person's; what they answer in the model's place.
async fn on_message(
    plugins: &PluginSet,
    context: &Context,
    messages: &mut [PromptMessage],
    marks: &mut Vec<Mark>,
) -> Result<Option<String>, ChatError> {
    let Some(last) = messages.iter_mut().rfind(|message| message.role == Role::User) else {
        return Ok(None);
    };
    let text = std::mem::take(&mut last.content);
    let outcome = plugins.on_message(context, text).await.map_err(ChatError::Denied)?;
    marks.extend(outcome.marks);
    match outcome.action {
        MessageAction::Continue(text) => {
            last.content = text;
            Ok(None)
        }
        MessageAction::Reply { reply, .. } => Ok(Some(reply)),
    }
}

/// They would show what a plugin takes out.
fn logprobs_tell_too_much() -> Invalid {
    Invalid("A plugin checks every reply before it is sent, so logprobs cannot be told.".into())
}
