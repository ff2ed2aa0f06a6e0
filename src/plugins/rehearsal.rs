//! A message's way through plugins without a model, and what each hook changed on it.

use std::fmt;
use std::sync::Arc;

use super::diff::DiffLine;
use super::hooks::{Draft, RenderedSegment};
use super::stage::Stage;
use super::workbench::Workbench;
use crate::domain::{PromptMessage, SamplingParams};

/// A model's chat template: what it makes of a draft. Blocks.
pub type Template = Arc<dyn Fn(Draft) -> Result<Vec<RenderedSegment>, String> + Send + Sync>;

/// What is passed through the plugins.
#[derive(Clone, Default)]
pub struct Rehearsal {
    /// What was said before, oldest first; no hook but `on_prompt` and `on_rendered` sees it.
    pub history: Vec<PromptMessage>,
    /// What the user writes.
    pub message: String,
    /// What the model would answer; without it, `on_chunk`, `on_response` and `on_title` are not called.
    pub reply: Option<String>,
    /// The user's name; empty for that of the tests.
    pub user: String,
    /// The operator's system prompt; may be empty.
    pub system_prompt: String,
    /// The operator's sampling parameters.
    pub params: SamplingParams,
    /// For `on_rendered`, which is not called without one.
    pub template: Option<Template>,
    /// Whether the first exchange gives the conversation a name.
    pub titled: bool,
}

/// What happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rehearsed {
    /// One for each call of a hook, and for what goes into the first of them.
    pub steps: Vec<Step>,
    /// Whether a plugin failed.
    pub failed: bool,
}

/// A call of a hook, or what goes into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The hook's name, or what is shown.
    pub what: &'static str,
    /// The plugin's id, where it is a hook's.
    pub plugin: Option<String>,
    /// What the call came to.
    pub outcome: Outcome,
    /// What there was before and is afterwards.
    pub lines: Vec<DiffLine>,
}

/// What a call of a hook came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is no call: the lines are what goes on.
    Shown,
    /// Nothing.
    Unchanged,
    /// The lines that changed, among the others.
    Changed,
    /// The lines are an answer in the model's place.
    Answers,
    /// The lines are a hint, after which the model would write another reply.
    AsksAgain,
    /// The lines are the conversation's name.
    Names,
    /// The request ends here, for this reason.
    Refuses(String),
    /// The plugin was skipped, or what was asked for cannot be shown, for this reason.
    Failed(String),
}

/// A heading for each step, and below it its lines, each with its sign.
impl fmt::Display for Rehearsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            f.write_str(step.what)?;
            if let Some(plugin) = &step.plugin {
                write!(f, " of {plugin}")?;
            }
            match &step.outcome {
                Outcome::Shown | Outcome::Changed => writeln!(f)?,
                Outcome::Unchanged => writeln!(f, " changes nothing")?,
                Outcome::Answers => writeln!(f, " answers")?,
                Outcome::AsksAgain => writeln!(f, " asks for another reply")?,
                Outcome::Names => writeln!(f, " names the conversation")?,
                Outcome::Refuses(reason) => writeln!(f, " refuses: {reason}")?,
                Outcome::Failed(reason) => writeln!(f, ": {reason}")?,
            }
            for line in &step.lines {
                writeln!(f, "{line}")?;
            }
        }
        Ok(())
    }
}

impl Workbench {
    /// Passes a message through commands, `on_message`, `on_prompt` and `on_rendered`, and a reply through `on_chunk`,
    /// `on_response` and `on_title`, of each plugin that loads, in the order of a server.
    pub async fn rehearse(&self, rehearsal: &Rehearsal) -> Rehearsed {
        let mut stage = Stage::new(self);
        if !rehearsal.user.is_empty() {
            stage.ctx.user.clone_from(&rehearsal.user);
        }
        let message = stage.message(rehearsal.message.clone()).await;
        if let Some(message) = &message
            && let Some(draft) = stage.prompt(rehearsal, message).await
            && let Some(template) = &rehearsal.template
        {
            stage.rendered(template.clone(), draft).await;
        }
        if let Some(reply) = &rehearsal.reply
            && let Some(reply) = stage.chunks(reply.clone()).await
            && let Some(reply) = stage.response(reply).await
            && let Some(message) = message.filter(|_| rehearsal.titled && rehearsal.history.is_empty())
        {
            stage.title(message, reply).await;
        }
        stage.told
    }
}
