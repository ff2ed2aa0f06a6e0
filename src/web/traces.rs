//! Why a reply is as it is.

use rocket::{State, get, routes};
use rocket_dyn_templates::{Template, context};
use serde::Serialize;

use super::error::WebError;
use super::figures::figures;
use super::guards::SignedIn;
use super::views::grouped;
use crate::chat::Chat;
use crate::domain::{
    Change, ConversationId, HookOutcome, HookTrace, Message, MessageId, MessageStatus, ParamTrace,
    PartOrigin, PromptPart, SetBy, Trace,
};

/// Most characters of the reply that are shown above its trace.
const QUOTED_CHARS: usize = 240;

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![trace, in_figures]
}

/// How a reply came about.
#[get("/c/<id>/messages/<reply>/trace")]
async fn trace(
    user: SignedIn,
    id: ConversationId,
    reply: MessageId,
    chat: &State<Chat>,
) -> Result<Template, WebError> {
    let (reply, trace) = chat.trace(&user, id, reply).await?;
    Ok(Template::render("trace", TraceView::new(&reply, trace)))
}

/// What a reply took, in a few lines.
#[get("/c/<id>/messages/<reply>/figures")]
async fn in_figures(
    user: SignedIn,
    id: ConversationId,
    reply: MessageId,
    chat: &State<Chat>,
) -> Result<Template, WebError> {
    let (reply, trace) = chat.trace(&user, id, reply).await?;
    let lines = figures(&reply, trace.as_ref());
    Ok(Template::render("partials/figures", context! { lines }))
}

/// The page.
#[derive(Serialize)]
struct TraceView {
    conversation_id: String,
    reply_id: String,
    quote: String,
    running: bool,
    trace: Option<Told>,
}

/// A trace in parts: which texts tell it, and what stands in them.
#[derive(Serialize)]
struct Told {
    model: String,
    seed: Option<u32>,
    attempts: u32,
    spent: Vec<(&'static str, String)>,
    reread: Option<RereadView>,
    hooks: Vec<HookView>,
    prompt: Vec<PartView>,
    origins: Vec<&'static str>,
    left_out: usize,
    params: Vec<ParamView>,
    cut: bool,
}

#[derive(Serialize)]
struct RereadView {
    plugin: String,
    tokens: String,
}

#[derive(Serialize)]
struct HookView {
    plugin: String,
    version: String,
    hook: String,
    kind: &'static str,
    outcome: &'static str,
    took: String,
    operations: String,
    pieces: Option<PiecesView>,
    failure: Option<String>,
    changes: Vec<ChangeView>,
    more_changes: usize,
}

/// The pieces of a reply that a hook saw.
#[derive(Serialize)]
struct PiecesView {
    count: String,
    changed: String,
    longest: String,
}

#[derive(Serialize)]
struct ChangeView {
    part: String,
    says: &'static str,
    at: usize,
    removed: String,
    added: String,
    /// The class of each line, its sign, its text; none where the text is not kept.
    lines: Option<Vec<(&'static str, &'static str, String)>>,
}

#[derive(Serialize)]
struct PartView {
    origin: &'static str,
    label: &'static str,
    number: Option<usize>,
    plugins: String,
    chars: usize,
    text: Option<String>,
}

#[derive(Serialize)]
struct ParamView {
    key: String,
    value: Option<String>,
    by: &'static str,
    plugin: Option<String>,
    asked: Option<String>,
    differs: bool,
}

impl TraceView {
    fn new(reply: &Message, trace: Option<Trace>) -> Self {
        let text = reply.content.trim();
        let mut quote: String = text.chars().take(QUOTED_CHARS).collect();
        if quote.len() < text.len() {
            quote.push('…');
        }
        let running = reply.status == MessageStatus::Generating;
        Self {
            conversation_id: reply.conversation_id.to_string(),
            reply_id: reply.id.to_string(),
            // The text of a running reply belongs to its event stream.
            quote: if running { String::new() } else { quote },
            running,
            trace: trace.map(Told::from),
        }
    }
}

impl From<Trace> for Told {
    fn from(trace: Trace) -> Self {
        let mut origins: Vec<_> = trace.prompt.iter().map(|part| kind(part.origin)).collect();
        if trace.prompt.iter().any(|part| !part.plugins.is_empty()) {
            origins.push(kind(PartOrigin::Plugin));
        }
        let known = ["template", "system", "user", "assistant", "plugin"];
        Self {
            spent: spent(&trace),
            reread: trace
                .reread
                .map(|reread| RereadView { tokens: grouped(reread.tokens as u64), plugin: reread.plugin }),
            hooks: trace.hooks.into_iter().map(HookView::from).collect(),
            prompt: trace.prompt.into_iter().map(PartView::from).collect(),
            origins: known.into_iter().filter(|kind| origins.contains(kind)).collect(),
            params: trace.params.into_iter().map(ParamView::from).collect(),
            model: trace.model,
            seed: trace.seed,
            attempts: trace.attempts,
            left_out: trace.left_out,
            cut: trace.cut,
        }
    }
}

fn spent(trace: &Trace) -> Vec<(&'static str, String)> {
    let Some(spent) = trace.spent else { return Vec::new() };
    let read = spent.prompt_tokens.saturating_sub(spent.reused_tokens);
    let tokens = |count: u32| grouped(count.into());
    vec![
        ("queue", duration(spent.queue_micros)),
        ("prompt", duration(spent.prefill_micros)),
        ("writing", duration(spent.decode_micros)),
        ("prompt_tokens", tokens(spent.prompt_tokens)),
        ("reused_tokens", tokens(spent.reused_tokens)),
        ("read_tokens", tokens(read)),
        ("written_tokens", tokens(spent.written_tokens)),
    ]
}

impl From<HookTrace> for HookView {
    fn from(hook: HookTrace) -> Self {
        let pieces = hook.calls.map(|calls| PiecesView {
            count: grouped(calls.count),
            changed: grouped(calls.changed),
            longest: duration(calls.worst_micros),
        });
        let (kind, outcome) = match &hook.outcome {
            HookOutcome::Unchanged => ("unchanged", "unchanged"),
            HookOutcome::Changed => ("changed", "changed"),
            HookOutcome::Answered => ("changed", "answered"),
            HookOutcome::Denied => ("failed", "denied"),
            HookOutcome::Stopped => ("changed", "stopped"),
            HookOutcome::Retry => ("changed", "retry"),
            HookOutcome::Failed(_) => ("failed", "failed"),
            HookOutcome::Resting => ("failed", "resting"),
        };
        let failure = match hook.outcome {
            HookOutcome::Failed(sentence) => Some(sentence),
            _ => None,
        };
        Self {
            plugin: hook.plugin,
            version: hook.version,
            hook: hook.hook,
            kind,
            outcome,
            took: duration(hook.micros),
            operations: grouped(hook.operations),
            pieces,
            failure,
            changes: hook.changes.into_iter().map(ChangeView::from).collect(),
            more_changes: hook.more_changes,
        }
    }
}

impl From<Change> for ChangeView {
    fn from(change: Change) -> Self {
        let (at, removed, added) = (change.at, change.removed, change.added);
        let says = match (removed, added) {
            (0, 1) => "came_one",
            (0, _) => "came_many",
            (1, 0) => "went_one",
            (_, 0) => "went_many",
            (1, _) => "became_one",
            _ => "became_many",
        };
        let [removed, added] = [removed, added].map(|count| grouped(count as u64));
        let line = |line: &str| match line.split_at_checked(2) {
            Some(("- ", text)) => ("went", "−", text.to_owned()),
            Some(("+ ", text)) => ("came", "+", text.to_owned()),
            Some(("  ", text)) => ("stayed", " ", text.to_owned()),
            _ if line == "-" => ("went", "−", String::new()),
            _ if line == "+" => ("came", "+", String::new()),
            _ => ("stayed", " ", line.to_owned()),
        };
        let lines = change.diff.map(|diff| diff.lines().map(line).collect());
        Self { part: change.part, says, at, removed, added, lines }
    }
}

impl From<PromptPart> for PartView {
    fn from(part: PromptPart) -> Self {
        let plugins = part.plugins.join(", ");
        let label = match (part.origin, part.number) {
            (PartOrigin::Template, _) => "template",
            (PartOrigin::System, None | Some(1)) => "system",
            (PartOrigin::System, Some(_)) => "system_further",
            (PartOrigin::User, Some(_)) => "user_numbered",
            (PartOrigin::User, None) => "user",
            (PartOrigin::Assistant, Some(_)) => "reply_numbered",
            (PartOrigin::Assistant, None) => "reply",
            (PartOrigin::Plugin, _) => "plugin",
        };
        Self {
            origin: kind(part.origin),
            label,
            number: part.number,
            plugins,
            chars: part.chars,
            text: part.text,
        }
    }
}

impl From<ParamTrace> for ParamView {
    fn from(param: ParamTrace) -> Self {
        let differs = param.by != SetBy::Operator;
        let (by, plugin, asked) = match param.by {
            SetBy::Operator => ("operator", None, None),
            SetBy::Person => ("person", None, None),
            SetBy::Conversation => ("conversation", None, None),
            SetBy::Plugin(plugin) => ("plugin", Some(plugin), None),
            SetBy::Limit { plugin: None, asked } => ("limit", None, Some(asked)),
            SetBy::Limit { plugin, asked } => ("limit_plugin", plugin, Some(asked)),
        };
        Self { key: param.key, value: param.value, by, plugin, asked, differs }
    }
}

fn kind(origin: PartOrigin) -> &'static str {
    match origin {
        PartOrigin::Template => "template",
        PartOrigin::System => "system",
        PartOrigin::User => "user",
        PartOrigin::Assistant => "assistant",
        PartOrigin::Plugin => "plugin",
    }
}

/// Microseconds as people read them.
pub(super) fn duration(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        assert_eq!([7, 1_500, 2_340_000].map(duration), ["7 µs", "1.5 ms", "2.3 s"]);
    }

    #[test]
    fn a_change_without_its_text_is_a_place_and_lengths() {
        let change = Change { part: "message".into(), at: 5, removed: 24, added: 18, diff: None };

        let view = ChangeView::from(change);

        assert_eq!(
            (view.says, view.removed, view.added, view.at),
            ("became_many", "24".into(), "18".into(), 5)
        );
        assert!(view.lines.is_none());
    }
}
