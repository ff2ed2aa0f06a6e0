//! From the messages of a draft to the prompt of the model.

use std::sync::Arc;

use super::trace::Story;
use super::{ChatError, host_mark};
use crate::domain::{Mark, PromptMessage};
use crate::engine::{Generation, Model, Origin, Place, Prompt, Task};
use crate::plugins::{Context, PluginSet, RenderedSegment, SegmentOrigin};

/// The chat template, with the oldest turns left out until it fits, then `on_rendered`, then the queue.
pub(super) async fn submit(
    plugins: &PluginSet,
    context: &Context,
    place: Place,
    messages: Vec<PromptMessage>,
    task: Task,
    marks: &mut Vec<Mark>,
    story: Option<&mut Story>,
) -> Result<Generation, ChatError> {
    let model = place.model().clone();
    let prompt = render(plugins, context, &model, messages, task.params.max_tokens, marks).await?;
    if let Some(story) = story {
        story.sent(&context.trace, &model, &prompt.segments, prompt.left_out);
    }
    // A grammar takes a while to be read.
    let submitted = tokio::task::spawn_blocking(move || place.submit(prompt, task));
    Ok(submitted.await.map_err(|_| ChatError::Panicked)??)
}

async fn render(
    plugins: &PluginSet,
    context: &Context,
    model: &Arc<Model>,
    messages: Vec<PromptMessage>,
    max_tokens: u32,
    marks: &mut Vec<Mark>,
) -> Result<Prompt, ChatError> {
    let preparing = model.clone();
    let prompt = tokio::task::spawn_blocking(move || preparing.prepare(&messages, max_tokens))
        .await
        .map_err(|_| ChatError::Panicked)??;
    marks.extend((prompt.left_out > 0).then(|| left_out(prompt.left_out)));
    if !plugins.sees_rendered() {
        return Ok(prompt);
    }
    let segments = prompt.segments.iter();
    let before: Vec<_> = segments
        .map(|segment| RenderedSegment { origin: for_plugins(segment.origin), text: segment.text.clone() })
        .collect();
    let (after, skipped) = plugins.on_rendered(context, before.clone()).await.map_err(ChatError::Denied)?;
    marks.extend(skipped);
    if after == before {
        return Ok(prompt);
    }
    let segments = after.into_iter().map(|segment| (from_plugins(segment.origin), segment.text)).collect();
    let model = model.clone();
    tokio::task::spawn_blocking(move || model.rewrite(prompt, segments, max_tokens))
        .await
        .map_err(|_| ChatError::Panicked)?
        .map_err(ChatError::Engine)
}

pub(super) fn for_plugins(origin: Origin) -> SegmentOrigin {
    match origin {
        Origin::Template => SegmentOrigin::Template,
        Origin::System => SegmentOrigin::System,
        Origin::User => SegmentOrigin::User,
        Origin::Assistant => SegmentOrigin::Assistant,
        Origin::Plugin => SegmentOrigin::Plugin,
    }
}

fn from_plugins(origin: SegmentOrigin) -> Origin {
    match origin {
        SegmentOrigin::Template => Origin::Template,
        SegmentOrigin::System => Origin::System,
        SegmentOrigin::User => Origin::User,
        SegmentOrigin::Assistant => Origin::Assistant,
        SegmentOrigin::Plugin => Origin::Plugin,
    }
}

/// The mark of a reply that was written without the oldest messages.
fn left_out(messages: usize) -> Mark {
    let text = match messages {
        1 => {
            "The oldest message no longer fits the model's context; this reply was written without it.".into()
        }
        n => format!(
            "The {n} oldest messages no longer fit the model's context; this reply was written without them."
        ),
    };
    host_mark(text)
}
