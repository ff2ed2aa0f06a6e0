//! Compiling a plugin under a budget of its own: rhai's parser asks for each token here, and a refused token ends it.
//!
//! The parser compares a name with every name before it: without a deadline, a file within `max_file_bytes` could keep it busy
//! for minutes. Between two tokens, and behind the last one, it needs no more than some milliseconds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rhai::{AST, EvalAltResult, LexError, Module, Position, Scope, Token};

use super::budget::{self, Deadline};
use super::fault::{Fault, Source, host_error};
use super::plugin::flatten;
use super::sandbox::{self, MAX_FUNCTIONS, MAX_VARIABLES};
use crate::config::PluginsConfig;

/// Longest compilation of a plugin, together with the neighbours that it imports.
pub(super) const DEADLINE: Deadline = Deadline {
    time: Duration::from_secs(2),
    late: "compiling it takes longer than 2 seconds; make the file smaller, or use fewer names in one function",
};
/// Most parameters of one function.
pub(super) const MAX_PARAMETERS: usize = 64;

/// Compiles a plugin; nothing of it runs but the neighbours that it imports. Call it on a thread of the sandbox.
pub(super) fn compile(
    id: &str,
    source: &Source,
    config: &PluginsConfig,
) -> Result<(rhai::Engine, AST), Fault> {
    let mut engine = sandbox::engine(config);
    let reading = Reading::of(&mut engine);
    engine.set_module_resolver(Neighbours::of(source, reading.clone()));
    let compile = || engine.compile_into_self_contained(&Scope::new(), &source.text);
    let (compiled, spent) = budget::within_deadline(config, DEADLINE, id, compile);
    tracing::debug!(plugin = id, micros = spent.time.as_micros(), peak_bytes = spent.peak_bytes, "compiled");
    // The parser tells a refused token in words of its own.
    let refused = reading.lock().refused.take();
    let mut ast = match (flatten(source, compiled), refused) {
        (compiled, None) => compiled?,
        (Err(fault), Some(why)) => return Err(fault.because(why)),
        (Ok(_), Some(why)) => return Err(source.fault(why)),
    };
    ast.set_source(source.file.as_str());
    Ok((engine, ast))
}

/// What the parser has read of a file.
#[derive(Default)]
struct Reading {
    functions: usize,
    /// Declared since the last function began, or outside of functions.
    variables: usize,
    head: Head,
    /// Why it must not read on.
    refused: Option<String>,
}

/// Where a list of parameters may be.
#[derive(Default)]
enum Head {
    #[default]
    None,
    /// Behind `fn`, before its parenthesis.
    Named,
    /// In a list that has had so many parameters.
    Parameters(usize),
}

/// What is read now, known to the engine and to whoever opens the next file.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Reading>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Reading> {
        // Counters only: a panic elsewhere leaves them usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    /// Has an engine ask for each token from now on.
    #[allow(deprecated)] // marks what may change in a later version of rhai
    fn of(engine: &mut rhai::Engine) -> Shared {
        let shared = Shared::default();
        let reading = shared.clone();
        engine.on_parse_token(move |token, _, _| {
            let mut reading = reading.lock();
            if reading.refused.is_none() {
                reading.refused = budget::exceeded().or_else(|| reading.takes(&token));
            }
            match reading.refused {
                // Of all errors, the parser expects this one also inside of a text.
                Some(_) => Token::LexError(LexError::StringTooLong(0).into()),
                None => token,
            }
        });
        shared
    }

    /// Another file begins, or what imports it goes on.
    fn begin_file(&mut self) {
        *self = Self { refused: self.refused.take(), ..Self::default() };
    }

    /// Counts a token; why it is one too many, if it is.
    fn takes(&mut self, token: &Token) -> Option<String> {
        self.head = match (token, &self.head) {
            (Token::Fn, _) => Head::Named,
            (Token::LeftParen, Head::Named) => Head::Parameters(0),
            (Token::Pipe, Head::None) => Head::Parameters(0),
            (Token::Identifier(_), Head::Parameters(count)) => Head::Parameters(count + 1),
            (Token::Comma, Head::Parameters(count)) => Head::Parameters(*count),
            (Token::RightParen | Token::Pipe, Head::Parameters(_)) => Head::None,
            (_, Head::Named) => Head::Named,
            _ => Head::None,
        };
        match token {
            Token::Fn => {
                self.functions += 1;
                self.variables = 0;
            }
            Token::Let | Token::Const | Token::For | Token::Catch => self.variables += 1,
            _ => {}
        }
        let many = |count: usize, most: usize, what: &str, cure: &str| {
            (count > most).then(|| format!("more than {most} {what}; {cure}"))
        };
        let parameters = if let Head::Parameters(count) = self.head { count } else { 0 };
        many(parameters, MAX_PARAMETERS, "parameters of one function", "pass a map or a list")
            .or_else(|| {
                many(
                    self.variables,
                    MAX_VARIABLES,
                    "variables in one function or outside of functions",
                    "use a map or a list",
                )
            })
            .or_else(|| {
                many(
                    self.functions,
                    MAX_FUNCTIONS,
                    "functions in one file",
                    "make two plugins of it, or import a part of it",
                )
            })
    }
}

/// Resolves the imports of a plugin among the files of its own folder, which were read before.
struct Neighbours {
    folder: String,
    texts: Vec<(String, String)>,
    reading: Shared,
    /// What is being imported now, to find circles.
    open: Mutex<Vec<String>>,
}

impl Neighbours {
    fn of(source: &Source, reading: Shared) -> Self {
        let folder = source.file.rsplit_once('/').map_or("", |(folder, _)| folder);
        Self { folder: folder.to_owned(), texts: source.neighbours.clone(), reading, open: Mutex::default() }
    }
}

impl rhai::ModuleResolver for Neighbours {
    fn resolve(
        &self,
        engine: &rhai::Engine,
        _: Option<&str>,
        path: &str,
        position: Position,
    ) -> Result<rhai::Shared<Module>, Box<EvalAltResult>> {
        let Some((_, text)) = self.texts.iter().find(|(name, _)| name == path) else {
            return Err(EvalAltResult::ErrorModuleNotFound(path.into(), position).into());
        };
        let file = format!("{}/{path}.rhai", self.folder);
        let open = || self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open().iter().any(|name| name == path) {
            return Err(host_error(format!("{file} imports itself")));
        }
        open().push(path.to_owned());
        self.reading.lock().begin_file();
        let compiled = engine.compile(text).map_err(|error| {
            let Some(why) = self.reading.lock().refused.take() else { return error.into() };
            let mut refused = host_error(why);
            refused.set_position(error.position());
            refused
        });
        let module = compiled.and_then(|mut ast| {
            ast.set_source(file.as_str());
            Module::eval_ast_as_new(Scope::new(), &ast, engine)
        });
        open().pop();
        match module {
            Ok(module) => Ok(module.into()),
            Err(error) => Err(EvalAltResult::ErrorInModule(file, error, position).into()),
        }
    }
}
