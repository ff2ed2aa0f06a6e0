//! What becomes of a person's message: the command that it names, and `on_message`.

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

    /// The user's message arrived and is not stored yet: each plugin in its order gets the command that the message then names, if
    /// it is this plugin's, and its `on_message`. A command's own answer stands unless an `on_message` answers too.
    ///
    /// # Errors
    /// [`Denied`] when a plugin refuses it, or one that must not be skipped failed: nothing may be written.
    pub async fn on_message(&self, ctx: &Context, text: String) -> Result<MessageOutcome, Denied> {
        if !(self.chain.has(Hook::Command) || self.chain.has(Hook::OnMessage)) {
            return Ok(MessageOutcome { action: MessageAction::Continue(text), marks: Vec::new() });
        }
        let (chain, ctx) = (self.chain.clone(), ctx.clone());
        let Passed { value, ended, marks } =
            self.chain.run_job(Hook::OnMessage, move || chain.message(&ctx, text)).await?;
        let action = match ended {
            None => MessageAction::Continue(value),
            Some(ended) => MessageAction::Reply { message: value, reply: ended.said },
        };
        Ok(MessageOutcome { action, marks })
    }
}

/// A command that was typed.
struct Call {
    plugin: Arc<Plugin>,
    function: String,
    args: String,
}

impl Chain {
    fn message(&self, ctx: &Context, text: String) -> Result<Passed<String>, Denied> {
        let mut passed = Passed { value: text, ended: None, marks: Vec::new() };
        // What a command answered, once one was called.
        let mut answer = None;
        for member in &self.members {
            let plugin = member.working()?;
            if answer.is_none()
                && let Some(call) =
                    self.called(&passed.value).filter(|call| Arc::ptr_eq(&call.plugin, plugin))
            {
                self.command(call, ctx, &mut passed)?;
                answer = Some(passed.ended.take());
            }
            if plugin.hooks.contains(&Hook::OnMessage) {
                let (hook, name) = (Hook::OnMessage, Hook::OnMessage.name());
                self.advance(plugin, hook, name, ctx, &mut passed, |text: &String| {
                    plugin.call(&self.sandbox, hook, ctx, || text.as_str().into(), step)
                })?;
            }
            if passed.ended.is_some() {
                break;
            }
        }
        passed.ended = passed.ended.or(answer.flatten());
        Ok(passed)
    }

    fn command(&self, call: Call, ctx: &Context, passed: &mut Passed<String>) -> Result<(), Denied> {
        let Call { plugin, function, args } = call;
        self.advance(&plugin, Hook::Command, &function, ctx, passed, |_| {
            let told = || plugin.tell(ctx);
            plugin.call_function(&self.sandbox, Hook::Command, &function, (ctx, told), || args.into(), step)
        })
    }

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
