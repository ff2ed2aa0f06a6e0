use serde::{Deserialize, Serialize};

use super::Level;

/// How a reply came about: what was really sent, what each plugin changed, what it took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// The model that wrote it; empty where a plugin answered.
    pub model: String,
    /// The seed that was used.
    pub seed: Option<u32>,
    /// How often it was begun: more than once where a plugin wanted another reply. What follows is about the last time, except
    /// for `hooks`.
    pub attempts: u32,
    /// What the plugins did, in the order in which they were called.
    pub hooks: Vec<HookTrace>,
    /// What the model read.
    pub prompt: Vec<PromptPart>,
    /// Messages that did not fit, counted from the oldest.
    pub left_out: usize,
    /// What it was written with.
    pub params: Vec<ParamTrace>,
    /// What it took; none where it did not get so far.
    pub spent: Option<Spent>,
    /// What a plugin caused to be read again.
    pub reread: Option<Reread>,
    /// Something was too long, and parts of it were left out.
    pub cut: bool,
}

/// One hook of one plugin at work.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HookTrace {
    /// The plugin's id.
    pub plugin: String,
    /// The version that it gives itself; may be empty.
    pub version: String,
    /// The function that was called.
    pub hook: String,
    /// Time, in microseconds; of all calls together.
    pub micros: u64,
    /// Operations of the script, of all calls together.
    pub operations: u64,
    /// How it ended.
    pub outcome: HookOutcome,
    /// What it changed.
    pub changes: Vec<Change>,
    /// Changes that are not listed.
    pub more_changes: usize,
    /// Of a hook that is called for every piece of a reply.
    pub calls: Option<Calls>,
}

/// How a hook ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookOutcome {
    /// It left everything as it was.
    #[default]
    Unchanged,
    /// It changed something.
    Changed,
    /// It answered in the model's place.
    Answered,
    /// It refused.
    Denied,
    /// It ended the reply.
    Stopped,
    /// It wants another reply.
    Retry,
    /// `file:line:column: sentence`.
    Failed(String),
    /// It failed too often and was not called.
    Resting,
}

/// The calls of a hook that sees a reply in pieces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// How many.
    pub count: u64,
    /// How many of them changed something.
    pub changed: u64,
    /// The longest, in microseconds.
    pub worst_micros: u64,
}

/// One change, as a place and, unless it is nobody's to read, as lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What of the request was changed: `message`, `system message`, `params.temperature` …
    pub part: String,
    /// Where in it, in characters.
    pub at: usize,
    /// Characters that went there.
    pub removed: usize,
    /// Characters that came there.
    pub added: usize,
    /// Lines behind their sign: `- ` went, `+ ` came, two spaces stayed. None where the text is not kept.
    pub diff: Option<String>,
}

/// A stretch of the prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptPart {
    /// Where it comes from.
    pub origin: PartOrigin,
    /// Its number among the messages of its origin, from 1 on.
    pub number: Option<usize>,
    /// The plugins that made or changed it.
    pub plugins: Vec<String>,
    /// Its length, in characters.
    pub chars: usize,
    /// What it says; none where that is not kept.
    pub text: Option<String>,
}

/// Where a stretch of a prompt comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartOrigin {
    /// The model's chat template.
    Template,
    /// The operator.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A plugin.
    Plugin,
}

/// A parameter as it was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParamTrace {
    /// Its name.
    pub key: String,
    /// Its value; none where that is not kept.
    pub value: Option<String>,
    /// Who set it.
    pub by: SetBy,
}

/// Who set a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SetBy {
    /// The operator, or nobody.
    Operator,
    /// The person, for all their conversations.
    Person,
    /// The person, for this conversation.
    Conversation,
    /// A plugin.
    Plugin(String),
    /// The operator's limit.
    Limit {
        /// Who asked for more; none for whoever asked for the reply.
        plugin: Option<String>,
        /// For how much.
        asked: String,
    },
}

impl From<Level> for SetBy {
    fn from(level: Level) -> Self {
        match level {
            Level::Operator => Self::Operator,
            Level::Person => Self::Person,
            Level::Conversation => Self::Conversation,
        }
    }
}

/// What a reply took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// In the queue, in microseconds.
    pub queue_micros: u64,
    /// Reading the prompt.
    pub prefill_micros: u64,
    /// Writing the reply.
    pub decode_micros: u64,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Of these, tokens that were in memory still.
    pub reused_tokens: u32,
    /// Tokens that were written.
    pub written_tokens: u32,
}

/// Earlier messages that were not in memory any more, because a plugin changed something before them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reread {
    /// Its id.
    pub plugin: String,
    /// How many tokens.
    pub tokens: usize,
}

impl Trace {
    /// Largest trace, as JSON, in bytes.
    pub const MAX_BYTES: usize = 256 << 10;
    /// Most parts of a prompt and most calls of hooks that are kept.
    const MAX_ENTRIES: usize = 500;
    /// No text is cut below this, in characters.
    const SHORTEST_CUT: usize = 40;

    /// The trace without what is too much: the longest texts are cut first, then the middle of long lists is left out.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.cut |= leave_out_middle(&mut self.prompt, Self::MAX_ENTRIES);
        self.cut |= leave_out_middle(&mut self.hooks, Self::MAX_ENTRIES);
        let mut longest = self.texts().map(|text| text.len()).max().unwrap_or_default();
        while self.bytes() > Self::MAX_BYTES && longest > Self::SHORTEST_CUT {
            self.cut = true;
            longest = (longest / 4 * 3).max(Self::SHORTEST_CUT);
            self.texts().for_each(|text| cut(text, longest));
        }
        let mut entries = Self::MAX_ENTRIES;
        while self.bytes() > Self::MAX_BYTES && entries > 0 {
            self.cut = true;
            entries /= 2;
            for hook in &mut self.hooks {
                hook.more_changes += std::mem::take(&mut hook.changes).len();
            }
            leave_out_middle(&mut self.prompt, entries);
            leave_out_middle(&mut self.hooks, entries);
        }
        self
    }

    fn bytes(&self) -> usize {
        serde_json::to_string(self).map_or(0, |json| json.len())
    }

    /// Everything that may be long.
    fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let parts = self.prompt.iter_mut().filter_map(|part| part.text.as_mut());
        let diffs = self.hooks.iter_mut().flat_map(|hook| &mut hook.changes);
        let values = self.params.iter_mut().filter_map(|param| param.value.as_mut());
        parts.chain(diffs.filter_map(|change| change.diff.as_mut())).chain(values)
    }
}

/// Whether there was too much.
fn leave_out_middle<T>(list: &mut Vec<T>, most: usize) -> bool {
    let too_many = list.len().saturating_sub(most);
    let from = most.min(list.len()) / 2;
    list.drain(from..from + too_many);
    too_many > 0
}

/// Cuts what is longer, in bytes, and says so.
fn cut(text: &mut String, longest: usize) {
    if text.len() > longest {
        let mut end = longest.saturating_sub('…'.len_utf8());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> PromptPart {
        let (number, plugins, chars) = (None, vec![], text.chars().count());
        PromptPart { origin: PartOrigin::User, number, plugins, chars, text: Some(text.into()) }
    }

    #[test]
    fn the_longest_texts_are_cut_first() {
        let long = "é".repeat(400_000);
        let trace =
            Trace { prompt: vec![part("short"), part(&long), part("also short")], ..Trace::default() };

        let bounded = trace.clone().bounded();

        let json = serde_json::to_string(&bounded).unwrap();
        assert!(json.len() <= Trace::MAX_BYTES && json.len() > Trace::MAX_BYTES / 2, "{}", json.len());
        assert!(bounded.cut && bounded.prompt[1].text.as_ref().unwrap().ends_with('…'));
        assert_eq!((&bounded.prompt[0], &bounded.prompt[2]), (&trace.prompt[0], &trace.prompt[2]));
        assert_eq!(bounded.prompt[1].chars, 400_000, "how long it was is still told");
    }

    #[test]
    fn whatever_is_in_it_it_stays_within_its_bound() {
        let control = "\u{1}".repeat(3_000);
        let change =
            |_| Change { part: control.clone(), at: 0, removed: 1, added: 1, diff: Some(control.clone()) };
        let hook = |_| HookTrace {
            plugin: "loud".into(),
            version: control.clone(),
            hook: "on_prompt".into(),
            micros: 1,
            operations: 1,
            outcome: HookOutcome::Failed(control.clone()),
            changes: (0..20).map(change).collect(),
            more_changes: 0,
            calls: None,
        };
        let prompt = (0..5_000).map(|_| part(&control)).collect();
        let trace = Trace { hooks: (0..60).map(hook).collect(), prompt, ..Trace::default() };

        let bounded = trace.bounded();

        assert!(serde_json::to_string(&bounded).unwrap().len() <= Trace::MAX_BYTES);
        assert!(bounded.cut && !bounded.hooks.is_empty() && !bounded.prompt.is_empty());
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let trace = Trace { prompt: vec![part("a"), part("b")], attempts: 1, ..Trace::default() };

        assert_eq!(trace.clone().bounded(), trace);
    }
}
