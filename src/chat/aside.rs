//! What the model writes for a plugin, beside the replies: no hook runs on it, and nothing of it is kept.

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::services::told;
use super::turn::told_to_stop;
use crate::config::LimitsConfig;
use crate::domain::{FinishReason, SamplingParams};
use crate::engine::{Engine, Event, Grammar, Priority, Task};
use crate::plugins::{Llm, LlmOrder};

/// The model for plugins.
pub(super) struct Aside {
    pub(super) engine: Engine,
    pub(super) runtime: Handle,
    pub(super) generation: SamplingParams,
    pub(super) limits: LimitsConfig,
    pub(super) stopping: watch::Receiver<bool>,
}

impl Llm for Aside {
    fn params(&self) -> SamplingParams {
        self.generation.clone()
    }

    fn generate(&self, order: LlmOrder) -> Result<String, String> {
        let (within, caller, mut stopping) = (order.within, order.caller.clone(), self.stopping.clone());
        // The thread is the plugin's own; the runtime does not need it.
        self.runtime.block_on(async {
            tokio::select! {
                written = tokio::time::timeout(within, self.write(order)) => {
                    written.unwrap_or_else(|_| Err("the model takes longer than llm_deadline_ms allows".into()))
                }
                () = gone(caller) => Err("nobody waits for the reply any more".into()),
                () = told_to_stop(&mut stopping) => Err("the server stops".into()),
            }
        })
    }
}

impl Aside {
    /// Dropped before its end, it frees its place.
    async fn write(&self, order: LlmOrder) -> Result<String, String> {
        let LlmOrder { user, messages, mut params, json_schema, in_a_reply, .. } = order;
        // In a reply it runs on the place that the reply holds and does not use meanwhile: on a place of its own it could be
        // refused by the very reply that waits for it. Otherwise it must not keep a reply out.
        let (place, priority) = match in_a_reply {
            true => (self.engine.reserve_beside(user), Priority::Interactive),
            false => (self.engine.reserve_background(user), Priority::Background),
        };
        let place = place.map_err(|error| told(&error))?;
        // What it lowers is not told: the plugin asked, and nobody reads the text.
        drop(self.limits.clamp(&mut params));
        let prompt = place.model().prepare(&messages, params.max_tokens).map_err(|error| told(&error))?;
        let grammar = json_schema.map(Grammar::JsonSchema);
        let task = Task { priority, grammar, keep_reply: false, ..Task::from(params) };
        let mut generation = place.submit(prompt, task).map_err(|error| told(&error))?;
        let mut written = String::new();
        loop {
            match generation.next().await {
                Event::Queued { .. } | Event::Prefill { .. } => {}
                Event::Text { text, .. } => written.push_str(&text),
                Event::Finished(end) if end.reason == FinishReason::Cancelled => {
                    return Err("the model was stopped".into());
                }
                Event::Finished(_) => return Ok(written),
                Event::Failed(_) => return Err("the model could not go on".into()),
            }
        }
    }
}

/// Resolves when nobody waits for the plugin any more.
async fn gone(caller: Option<watch::Receiver<()>>) {
    match caller {
        // Nothing is ever sent: it ends with its sender.
        Some(mut caller) => while caller.changed().await.is_ok() {},
        None => std::future::pending().await,
    }
}
