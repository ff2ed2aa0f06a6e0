//! From messages to tokens: the chat template, the tokens that only it may form, and what is left out when it is too long.

mod fit;
mod marks;
mod rewrite;
mod specials;
mod template;

pub(super) use specials::Specials;
pub(super) use template::{ChatTemplate, TemplateMessage};

use self::marks::Marks;
use super::grammar::Matcher;
use super::{EngineError, Grammar};
use crate::domain::{PromptMessage, Role};

/// A prompt as the model will read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// The text, by where it comes from.
    pub segments: Vec<Segment>,
    /// Messages that did not fit, counted from the oldest.
    pub left_out: usize,
    pub(super) tokens: Vec<i32>,
}

impl Prompt {
    /// Its length in tokens.
    pub fn token_count(&self) -> usize {
        self.tokens.len()
    }
}

/// A stretch of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Where it comes from.
    pub origin: Origin,
    /// What it says.
    pub text: String,
    /// Which of the messages it is of; none for the template's and plugins'.
    pub message: Option<usize>,
    /// The tokens that the model itself produced for it.
    kept: Option<Vec<i32>>,
}

impl Segment {
    /// A stretch of text, of which the model's own tokens are not known.
    pub fn new(origin: Origin, message: Option<usize>, text: String) -> Self {
        Self { origin, text, message, kept: None }
    }
}

/// Where a stretch of a prompt comes from. Only the template's may form special tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The model's chat template.
    Template,
    /// The operator.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A plugin, which put it into the rendered prompt.
    Plugin,
}

impl From<Role> for Origin {
    fn from(role: Role) -> Self {
        match role {
            Role::System => Self::System,
            Role::User => Self::User,
            Role::Assistant => Self::Assistant,
        }
    }
}

/// Text to tokens and back; a model's own.
pub(super) trait Tokenizer: Send + Sync {
    /// The tokens of a text, nothing added. Texts of special tokens become these tokens if `special` is set.
    fn tokenize(&self, text: &str, special: bool) -> Vec<i32>;

    /// What tokens spell; none if one of them is not of this model or spells nothing.
    fn spell(&self, tokens: &[i32]) -> Option<Vec<u8>>;

    /// The texts that only a template may turn into tokens.
    fn specials(&self) -> &Specials;

    /// The token that every prompt of this model begins with, if there is one.
    fn first_token(&self) -> Option<i32>;

    /// A grammar as this vocabulary follows it; else what is wrong with it.
    fn compile(&self, grammar: &Grammar) -> Result<Matcher, String>;

    /// The tokens with which the model ends its turn.
    fn end_tokens(&self) -> &[i32] {
        &[]
    }
}

/// Everything that turns messages into a prompt.
pub(super) struct PromptBuilder {
    pub(super) tokenizer: Box<dyn Tokenizer>,
    pub(super) template: ChatTemplate,
    /// Tokens of the prompt and the reply together.
    pub(super) n_ctx: usize,
}

impl PromptBuilder {
    /// How many tokens a text has as a content.
    pub(super) fn count(&self, text: &str) -> usize {
        let segment = Segment::new(Origin::User, None, text.to_owned());
        self.tokens_of_run(&[segment]).len()
    }

    /// The prompt of these messages. If the last one is the model's, the prompt lets it go on.
    pub(super) fn build(&self, messages: &[&PromptMessage]) -> Result<Prompt, EngineError> {
        let (messages, open) = match messages.split_last() {
            Some((last, before)) if last.role == Role::Assistant => (before, Some(last)),
            _ => (messages, None),
        };
        let mut segments = self.render(messages)?;
        let last = messages.len();
        segments.extend(open.map(|message| self.content(last, message, message.content.clone())));
        let tokens = self.tokens(&segments);
        Ok(Prompt { segments, left_out: 0, tokens })
    }

    /// The tokens that every prompt under this system prompt begins with, whatever is said then; none where the template
    /// makes them depend on it.
    pub(super) fn shared(&self, system_prompt: &str) -> Vec<i32> {
        let content = system_prompt.trim();
        let system = (!content.is_empty()).then(|| says(Role::System, content));
        common(|said| {
            let question = says(Role::User, said);
            let messages: Vec<_> = system.iter().chain([&question]).collect();
            self.build(&messages).ok().map(|prompt| prompt.tokens)
        })
    }

    /// The tokens that come between a reply and what its person says next, whatever that is; none where the template makes
    /// them depend on it.
    pub(super) fn between_turns(&self) -> Vec<i32> {
        let greeting = "Hello.";
        let token_ids = Some(self.tokenizer.tokenize(greeting, false));
        let reply = PromptMessage { token_ids, ..says(Role::Assistant, greeting) };
        common(|said| {
            let prompt = self.build(&[&says(Role::User, greeting), &reply, &says(Role::User, said)]).ok()?;
            let reply = prompt.segments.iter().position(|segment| segment.kept.is_some())?;
            Some(prompt.tokens[self.tokens(&prompt.segments[..=reply]).len()..].to_vec())
        })
    }

    fn render(&self, messages: &[&PromptMessage]) -> Result<Vec<Segment>, EngineError> {
        let marks = Marks::new();
        let framed = messages.iter().enumerate().map(|(index, message)| TemplateMessage {
            role: message.role.as_str(),
            content: marks.frame(index, &message.content, self.tokenizer.specials()),
        });
        let framed: Vec<_> = framed.collect();
        let rendered = self.template.render(&framed).or_else(|refusal| {
            let refusal = EngineError::Template(refusal.to_string());
            self.template.render(&alternating(framed)).map_err(|_| refusal)
        })?;
        let contents: Vec<_> = messages.iter().map(|message| message.content.as_str()).collect();
        let parts = marks.parts(&rendered, &contents).into_iter();
        let segments = parts.map(|part| match part.content {
            Some(index) => self.content(index, messages[index], part.text),
            None => Segment::new(Origin::Template, None, part.text),
        });
        Ok(segments.collect())
    }

    /// Keeps the model's own tokens only where they spell what now stands there: another model may have produced
    /// them, a plugin may have changed the text, the template may have cut it.
    fn content(&self, index: usize, message: &PromptMessage, text: String) -> Segment {
        let spells =
            |tokens: &Vec<i32>| self.tokenizer.spell(tokens).is_some_and(|bytes| bytes == text.as_bytes());
        let kept =
            message.token_ids.clone().filter(|tokens| message.role == Role::Assistant && spells(tokens));
        Segment { origin: message.role.into(), text, message: Some(index), kept }
    }

    fn tokens(&self, segments: &[Segment]) -> Vec<i32> {
        let mut tokens = self.inner_tokens(segments);
        match self.tokenizer.first_token() {
            Some(first) if tokens.first() != Some(&first) => tokens.insert(0, first),
            _ => {}
        }
        tokens
    }

    /// The tokens of segments in the middle of a prompt.
    pub(super) fn inner_tokens(&self, segments: &[Segment]) -> Vec<i32> {
        let mut tokens = Vec::new();
        for run in segments.chunk_by(|left, right| left.kept.is_none() && right.kept.is_none()) {
            match &run[0].kept {
                Some(kept) => tokens.extend(kept),
                None => tokens.extend(self.tokens_of_run(run)),
            }
        }
        tokens
    }

    /// Tokenizes neighbouring segments as one text, as the model has learned it, after cutting it inside every special
    /// token's text that is not the template's alone. What then lies wholly in a content is tokenized literally.
    fn tokens_of_run(&self, run: &[Segment]) -> Vec<i32> {
        let mut text = String::new();
        let mut contents = Vec::new();
        for segment in run {
            let start = text.len();
            text += &segment.text;
            if segment.origin != Origin::Template {
                contents.push(start..text.len());
            }
        }
        let mut cuts = self.tokenizer.specials().cuts(&text, &contents);
        cuts.insert(text.len());
        let mut from = 0;
        let mut tokens = Vec::new();
        for to in cuts.into_iter().filter(|&to| to > 0) {
            let literal = contents.iter().any(|content| content.start <= from && to <= content.end);
            tokens.extend(self.tokenizer.tokenize(&text[from..to], !literal));
            from = to;
        }
        tokens
    }
}

fn says(role: Role, content: &str) -> PromptMessage {
    PromptMessage { role, content: content.into(), token_ids: None }
}

/// How the tokens begin whatever is said; none where there are none for something.
fn common(tokens: impl Fn(&str) -> Option<Vec<i32>>) -> Vec<i32> {
    // Beginnings of different kinds, which would join differently with what stands before them.
    let mut all = ["a", "\n", " ", "1", "é"].into_iter().map(|said| tokens(said).unwrap_or_default());
    let first = all.next().unwrap_or_default();
    all.fold(first, |common, other| {
        let alike = common.into_iter().zip(other).take_while(|(left, right)| left == right);
        alike.map(|(token, _)| token).collect()
    })
}

/// For templates that know no system role, or want user and assistant to take turns: what the operator says
/// goes before the first message of the person, and neighbours of one role become one.
fn alternating(messages: Vec<TemplateMessage>) -> Vec<TemplateMessage> {
    let mut merged: Vec<TemplateMessage> = Vec::with_capacity(messages.len());
    for TemplateMessage { role, content } in messages {
        let role = if role == Role::System.as_str() { Role::User.as_str() } else { role };
        match merged.last_mut() {
            Some(last) if last.role == role => last.content = format!("{}\n\n{content}", last.content),
            _ => merged.push(TemplateMessage { role, content }),
        }
    }
    merged
}

#[cfg(test)]
mod tests;
