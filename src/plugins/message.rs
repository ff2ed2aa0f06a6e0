//! What becomes of a person's message: the command that it names, then `on_message`.

use std::sync::Arc;

use rhai::Dynamic;

use super::choices::Plugin;
use super::draft;
use super::hooks::{Context, Denied, Hook, MessageAction};
use super::host::Verdict;
use super::set::{Chain, Passed, PluginSet, Step};
use super::value::type_name;
use crate::domain::Mark;

/// How the name of a command's function begins.
pub(super) const COMMAND: &str = "command_";

/// Longest reason of a refusal, in characters; the rest is cut.
const MAX_REASON_CHARS: usize = 500;

/// What becomes of a message, and what a reader should know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageOutcome {
    /// Whether the model is asked, and what.
    pub action: MessageAction,
    /// One for each plugin that failed and was skipped.
    pub marks: Vec<Mark>,
}

/// A command that a person may type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Typed after the `/`.
    pub name: String,
    /// The id of the plugin that gets it.
    pub plugin: String,
    /// What it says it does: the first line of its doc comment; may be empty.
    pub about: String,
    /// Ids of plugins that define it too and do not get it, since their priority comes later.
    pub passed_over: Vec<String>,
}

impl PluginSet {
    /// The commands that a person may type, by name.
    pub fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        for plugin in self.chain.loaded() {
            for (name, about) in &plugin.commands {
                match commands.iter_mut().find(|command| command.name == *name) {
                    Some(command) => command.passed_over.push(plugin.id.clone()),
                    None => commands.push(Command {
                        name: name.clone(),
                        plugin: plugin.id.clone(),
                        about: about.clone(),
                        passed_over: Vec::new(),
                    }),
                }
            }
        }
        commands.sort_by(|left, right| left.name.cmp(&right.name));
        commands
    }

    /// The user's message arrived and is not stored yet: the command that it names, if it names one, then `on_message` of every
    /// plugin. A command's own answer stands unless one of these answers too.
    ///
    /// # Errors
    /// [`Denied`] when a plugin refuses it, or one that must not be skipped failed: nothing may be written.
    pub async fn on_message(&self, ctx: &Context, text: String) -> Result<MessageOutcome, Denied> {
        let Passed { value, ended: answer, mut marks } = self.command(ctx, text).await?;
        let passed = self.pass(Hook::OnMessage, ctx, value, |plugin, sandbox, ctx, text: &String| {
            plugin.call(sandbox, Hook::OnMessage, ctx, || text.as_str().into(), step)
        });
        let passed = passed.await?;
        marks.extend(passed.marks);
        let action = match passed.ended.or(answer) {
            None => MessageAction::Continue(passed.value),
            Some(ended) => MessageAction::Reply { message: passed.value, reply: ended.said },
        };
        Ok(MessageOutcome { action, marks })
    }

    async fn command(&self, ctx: &Context, text: String) -> Result<Passed<String>, Denied> {
        let Some(call) = self.chain.called(&text) else {
            return Ok(Passed { value: text, ended: None, marks: Vec::new() });
        };
        let (chain, ctx) = (self.chain.clone(), ctx.clone());
        let run = move || {
            let mut passed = Passed { value: text, ended: None, marks: Vec::new() };
            let (plugin, function) = (&call.plugin, call.function.as_str());
            chain.advance(plugin, Hook::Command, function, &ctx, &mut passed, |_| {
                let input = || call.args.into();
                let told = || plugin.tell(&ctx);
                plugin.call_function(&chain.sandbox, Hook::Command, function, (&ctx, told), input, step)
            })?;
            Ok(passed)
        };
        self.chain.run_job(Hook::Command, run).await
    }
}

/// A command that was typed.
struct Call {
    plugin: Arc<Plugin>,
    function: String,
    args: String,
}

impl Chain {
    /// The command that a text calls, `/name` and perhaps more; none where no plugin has it.
    fn called(&self, text: &str) -> Option<Call> {
        let typed = text.strip_prefix('/')?;
        let (name, args) = typed.split_at(typed.find(char::is_whitespace).unwrap_or(typed.len()));
        let plugin = self.loaded().find(|plugin| plugin.commands.iter().any(|(own, _)| own == name))?;
        let function = format!("{COMMAND}{name}");
        Some(Call { plugin: plugin.clone(), function, args: args.trim().to_owned() })
    }
}

fn step(returned: Dynamic) -> Result<Step<String>, String> {
    if returned.is_unit() {
        return Ok(Step::Unchanged);
    }
    if returned.is_string() {
        let text = draft::text(&returned).map_err(|why| format!("returned a text that {why}"))?;
        return match text.trim().is_empty() {
            true => Err("returned an empty text; use deny(reason) to refuse".into()),
            false => Ok(Step::Changed(text)),
        };
    }
    match returned.clone().try_cast::<Verdict>() {
        Some(Verdict::Reply(text)) if text.trim().is_empty() || text.contains('\0') => {
            Err("returned reply(text) without a usable text".into())
        }
        Some(Verdict::Reply(text)) => Ok(Step::Ended(text)),
        Some(Verdict::Deny(reason)) => {
            Ok(Step::Denied(reason.chars().filter(|c| *c != '\0').take(MAX_REASON_CHARS).collect()))
        }
        Some(Verdict::Stop(_) | Verdict::Retry(_)) | None => {
            Err(format!("must return a text, reply(text), deny(reason) or (), not {}", type_name(&returned)))
        }
    }
}
