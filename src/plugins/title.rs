//! The name that plugins give a conversation.

use rhai::{Dynamic, Map};

use super::draft;
use super::hooks::{Context, Denied, Hook};
use super::set::{PluginSet, Step};
use super::value::type_name;
use crate::domain::{Mark, PromptMessage};

impl PluginSet {
    /// Whether a plugin names conversations.
    pub fn names_conversations(&self) -> bool {
        self.chain.has(Hook::OnTitle)
    }

    /// A conversation gets its name after its first exchange: that of the first plugin that has one, as it wrote it.
    ///
    /// # Errors
    /// [`Denied`] when a plugin that must not be skipped failed: no plugin names it.
    pub async fn on_title(
        &self,
        ctx: &Context,
        exchange: Vec<PromptMessage>,
    ) -> Result<(Option<String>, Vec<Mark>), Denied> {
        let passed = self.pass(Hook::OnTitle, ctx, exchange, |plugin, sandbox, ctx, exchange: &Vec<_>| {
            plugin.call(sandbox, Hook::OnTitle, ctx, || to_script(exchange), step)
        });
        passed.await.map(|passed| (passed.ended.map(|ended| ended.said), passed.marks))
    }
}

fn to_script(exchange: &[PromptMessage]) -> Dynamic {
    let message = |message: &PromptMessage| {
        let entries: [(&str, Dynamic); 2] =
            [("role", message.role.as_str().into()), ("content", message.content.clone().into())];
        Dynamic::from_map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect::<Map>())
    };
    Dynamic::from_array(exchange.iter().map(message).collect())
}

fn step(returned: Dynamic) -> Result<Step<Vec<PromptMessage>>, String> {
    if returned.is_unit() {
        return Ok(Step::Unchanged);
    }
    if !returned.is_string() {
        return Err(format!("must return a title or (), not {}", type_name(&returned)));
    }
    let title = draft::text(&returned).map_err(|why| format!("returned a title that {why}"))?;
    match title.trim().is_empty() {
        true => Err("returned an empty title".into()),
        false => Ok(Step::Ended(title)),
    }
}
