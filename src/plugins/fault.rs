//! What went wrong in a script, and where, without the text of the conversation.

use rhai::{EvalAltResult, ParseErrorType, Position};

/// Longest message, in characters: a script may throw a text as long as itself, and each reply would keep it.
const MAX_CHARS: usize = 2_000;

/// A script's failure: `clock.rhai:12:5: Variable not found: x`.
///
/// Invariant: the message holds nothing of the values that the script worked on, so that it may be logged and
/// shown. What a script throws is quoted only where the same words stand in its source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub(super) struct Fault {
    place: String,
    message: String,
}

impl Fault {
    fn new(place: String, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(MAX_CHARS) {
            message.truncate(end);
            message.push('…');
        }
        Self { place, message }
    }

    /// The same fault of a part of the script that has a name of its own.
    pub(super) fn within(self, part: &str) -> Self {
        Self { message: format!("{part}: {}", self.message), ..self }
    }

    /// A fault at the same place, for a reason that is known better.
    pub(super) fn because(self, message: impl Into<String>) -> Self {
        Self::new(self.place, message)
    }
}

/// A sentence of a host function; unlike what a script throws it is known to hold no text of the conversation.
#[derive(Debug, Clone)]
pub(super) struct HostError(pub(super) String);

/// The error that a host function returns to the script.
pub(super) fn host_error(sentence: impl Into<String>) -> Box<EvalAltResult> {
    let error = rhai::Dynamic::from(HostError(sentence.into()));
    EvalAltResult::ErrorRuntime(error, Position::NONE).into()
}

/// The text of a plugin: its main file, and the neighbours that it may import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Source {
    /// The main file as a person would name it: `clock.rhai` or `glossary/main.rhai`.
    pub(super) file: String,
    /// Its text.
    pub(super) text: String,
    /// Neighbours: their import path (`words` for `words.rhai`) and text.
    pub(super) neighbours: Vec<(String, String)>,
}

impl Source {
    fn contains(&self, text: &str) -> bool {
        self.text.contains(text) || self.neighbours.iter().any(|(_, source)| source.contains(text))
    }

    /// The first line of the `///` comment before a function; empty where there is none.
    pub(super) fn about(&self, function: &str) -> String {
        let before = self.text.split(&format!("fn {function}(")).next().unwrap_or_default();
        let above = before.lines().rev().skip(usize::from(!before.ends_with('\n')));
        let comment = above.map_while(|line| line.trim_start().strip_prefix("///"));
        comment.last().unwrap_or_default().trim().to_owned()
    }

    /// A fault at the first line that contains `marker`, or in the file as a whole.
    pub(super) fn fault_at(&self, marker: &str, message: impl Into<String>) -> Fault {
        let line = self.text.lines().position(|line| line.contains(marker));
        let place = line.map_or_else(|| self.file.clone(), |at| format!("{}:{}", self.file, at + 1));
        Fault::new(place, message)
    }

    /// A fault of the file as a whole.
    pub(super) fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.file.clone(), message)
    }

    /// The script failed while it ran: the innermost place that is known, and what happened there.
    pub(super) fn failed(&self, error: Box<EvalAltResult>) -> Fault {
        let (mut file, mut position, mut error) = (self.file.clone(), error.position(), error);
        loop {
            let inner = match *error {
                EvalAltResult::ErrorInFunctionCall(_, source, inner, _) if !source.is_empty() => {
                    file = source;
                    inner
                }
                EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => inner,
                EvalAltResult::ErrorInModule(path, inner, _) => {
                    file = path;
                    inner
                }
                // An import that is resolved while compiling has no position.
                EvalAltResult::ErrorModuleNotFound(path, _) if position.is_none() && self.contains(&path) => {
                    return self.fault_at(&format!("\"{path}\""), no_module(&path));
                }
                mut innermost => {
                    // The place stands before the message; rhai would repeat it behind.
                    innermost.clear_position();
                    return Fault::new(place(&file, position), self.describe(&innermost));
                }
            };
            if !inner.position().is_none() {
                position = inner.position();
            }
            error = inner;
        }
    }

    fn describe(&self, error: &EvalAltResult) -> String {
        use EvalAltResult as E;
        match error {
            E::ErrorRuntime(thrown, _) => self.describe_thrown(thrown),
            E::ErrorTerminated(reason, _) => reason.to_string(),
            E::ErrorTooManyOperations(_) => "it takes more operations than max_operations allows".into(),
            E::ErrorStackOverflow(_) => "its calls nest deeper than max_call_levels allows".into(),
            E::ErrorDataTooLarge(what, _) => format!("{what} is over its limit in [default.plugins]"),
            E::ErrorParsing(ParseErrorType::Reserved(word), _) => {
                format!("{word} is a reserved word; as a key of a map it needs quotes: \"{word}\"")
            }
            E::ErrorParsing(kind, _) => kind.to_string(),
            E::ErrorModuleNotFound(path, _) if self.contains(path) => no_module(path),
            // These carry values: the number that was no number, the key that was not there.
            E::ErrorArithmetic(..) => {
                "arithmetic error: an overflow, a division by zero, or a text that is no number".into()
            }
            E::ErrorIndexNotFound(..) => "there is no such key".into(),
            // Names can be made at run time.
            E::ErrorFunctionNotFound(name, _)
            | E::ErrorVariableNotFound(name, _)
            | E::ErrorPropertyNotFound(name, _)
            | E::ErrorModuleNotFound(name, _)
            | E::ErrorDotExpr(name, _)
                if !self.contains(name.split([' ', ':']).next().unwrap_or(name)) =>
            {
                "a name that the script made while it ran does not exist".into()
            }
            error => error.to_string(),
        }
    }

    fn describe_thrown(&self, thrown: &rhai::Dynamic) -> String {
        if let Some(HostError(sentence)) = thrown.read_lock::<HostError>().as_deref() {
            return sentence.clone();
        }
        match thrown.read_lock::<rhai::ImmutableString>() {
            Some(text) if !text.is_empty() && self.contains(&text) => text.to_string(),
            _ => "it threw a value (only texts that stand in the script are shown)".into(),
        }
    }
}

fn no_module(path: &str) -> String {
    format!(
        "there is no \"{path}\" to import; a plugin in a folder of its own may import the files beside it"
    )
}

fn place(file: &str, position: Position) -> String {
    match (position.line(), position.position()) {
        (Some(line), Some(column)) => format!("{file}:{line}:{column}"),
        (Some(line), None) => format!("{file}:{line}"),
        _ => file.to_owned(),
    }
}
