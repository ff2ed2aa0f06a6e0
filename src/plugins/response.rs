//! What `on_response` makes of a complete reply.

use rhai::Dynamic;

use super::choices::Plugin;
use super::draft;
use super::hooks::{Context, Denied, Hook, ResponseAction, Retry};
use super::host::Verdict;
use super::manifest::Hold;
use super::set::{PluginSet, Step};
use super::value::type_name;
use crate::domain::Mark;

/// What becomes of a reply, and what a reader should know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseOutcome {
    /// Whether it is kept.
    pub action: ResponseAction,
    /// One for each plugin that failed and was skipped.
    pub marks: Vec<Mark>,
}

impl PluginSet {
    /// The reply is complete and goes to the store and to its readers next.
    ///
    /// # Errors
    /// [`Denied`] when a plugin that must not be skipped failed: the text must not be kept or shown.
    pub async fn on_response(&self, ctx: &Context, text: String) -> Result<ResponseOutcome, Denied> {
        let passed = self.pass(Hook::OnResponse, ctx, text, |plugin, sandbox, ctx, text: &String| {
            let read = |returned| step(plugin, &returned);
            plugin.call(sandbox, Hook::OnResponse, ctx, || text.as_str().into(), read)
        });
        let passed = passed.await?;
        let action = match passed.ended {
            None => ResponseAction::Keep(passed.value),
            Some(ended) => ResponseAction::Retry(Retry { plugin: ended.plugin, hint: ended.said }),
        };
        Ok(ResponseOutcome { action, marks: passed.marks })
    }

    /// How often a plugin may have one reply written anew.
    pub fn max_retries(&self) -> u32 {
        self.chain.sandbox.config.max_retries
    }
}

fn step(plugin: &Plugin, returned: &Dynamic) -> Result<Step<String>, String> {
    if returned.is_unit() {
        return Ok(Step::Unchanged);
    }
    let text = |text: &Dynamic| draft::text(text).map_err(|why| format!("returned a text that {why}"));
    if returned.is_string() {
        return text(returned).map(Step::Changed);
    }
    match returned.clone().try_cast::<Verdict>() {
        Some(Verdict::Retry(_)) if plugin.manifest.hold != Hold::Reply => {
            Err("may return retry(hint) only with hold: \"reply\": without it readers have seen the text"
                .into())
        }
        Some(Verdict::Retry(hint)) if hint.trim().is_empty() => {
            Err("returned retry(hint) without a hint".into())
        }
        Some(Verdict::Retry(hint)) => text(&hint.into()).map(Step::Ended),
        _ => Err(format!("must return a text, retry(hint) or (), not {}", type_name(returned))),
    }
}
