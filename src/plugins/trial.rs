//! `test_*` functions: what a plugin's author says it does. A version is used only after its tests have passed.
//!
//! Tests run with an engine of their own, so that no hook can come to depend on what only they may call. What they
//! compare is made by the file itself and holds nothing of a conversation: their failures may quote it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rhai::{CallFnOptions, Dynamic, EvalAltResult, Map, Scope};

use super::budget;
use super::choices::Plugin;
use super::draft;
use super::fault::{Fault, host_error};
use super::hooks::{Context, Draft, RequestSource};
use super::literal::{is_same, literal};
use super::plugin::flatten;
use super::sandbox;
use crate::config::PluginsConfig;
use crate::domain::{ConversationId, PromptMessage, Role, UserId};

/// Functions whose names begin so are tests.
const PREFIX: &str = "test_";
/// The host's own functions of that name.
const FIXTURES: [&str; 2] = ["test_ctx", "test_draft"];
/// All tests of a plugin together get the time of so many calls: whoever edits it waits while they run.
const DEADLINES: u32 = 5;

type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// The tests that a script defines, in the order of the file; the error is a function's name and what is wrong.
pub(super) fn tests(ast: &rhai::AST, text: &str) -> Result<Vec<String>, (String, String)> {
    let mut tests = Vec::new();
    for function in ast.iter_functions().filter(|function| function.name.starts_with(PREFIX)) {
        let wrong = |why: &str| Err((function.name.to_owned(), format!("{} {why}", function.name)));
        if FIXTURES.contains(&function.name) {
            return wrong("is a function of the host; give the test another name");
        }
        if !function.params.is_empty() {
            return wrong("is a test and takes no parameters");
        }
        tests.push(function.name.to_owned());
    }
    // One pass over the text, which may be long and define many.
    let mut order = HashMap::new();
    for (at, _) in text.match_indices("fn test_") {
        let name = text[at + 3..].split(|c: char| !c.is_alphanumeric() && c != '_').next();
        order.entry(name.unwrap_or_default()).or_insert(at);
    }
    tests.sort_by_key(|name| order.get(name.as_str()).copied());
    Ok(tests)
}

impl Plugin {
    /// The plugin, if its tests pass; else the first failure. Call it on a thread of the sandbox.
    pub(super) fn tested(self, config: &PluginsConfig) -> Result<Self, Fault> {
        let failure = self.run_tests(config).find_map(|(_, result)| result.err());
        failure.map_or(Ok(self), Err)
    }

    /// Its tests and how they end, each under the budget of a hook, and run when it is asked for.
    pub(super) fn run_tests<'a>(
        &'a self,
        config: &'a PluginsConfig,
    ) -> impl Iterator<Item = (&'a str, Result<(), Fault>)> + 'a {
        let engine = engine(config, self);
        let until = Instant::now() + DEADLINES * Duration::from_millis(config.deadline_ms);
        self.tests.iter().map(move |name| {
            let result = match Instant::now() > until {
                true => {
                    let why = format!("the tests together take longer than {DEADLINES} times deadline_ms");
                    Err(self.source.fault_at(&format!("fn {name}"), why))
                }
                false => self.run_test(config, &engine, name),
            };
            (name.as_str(), result.map_err(|fault| fault.within(name)))
        })
    }

    fn run_test(&self, config: &PluginsConfig, engine: &rhai::Engine, name: &str) -> Result<(), Fault> {
        let call = || {
            let options = CallFnOptions::new();
            engine.call_fn_with_options::<Dynamic>(options, &mut Scope::new(), &self.ast, name, ()).map(drop)
        };
        flatten(&self.source, budget::within(config, &self.id, call).0)
    }
}

/// The engine of hooks, and what only tests may call. Each `"name"` here is a function of the manual.
fn engine(config: &PluginsConfig, plugin: &Plugin) -> rhai::Engine {
    let mut engine = sandbox::engine(config);
    let (settings, user_settings) = plugin.defaults();
    let ctx = move || context().to_script(&settings, &user_settings);
    let ctx_with = ctx.clone();
    engine
        .register_fn("assert", |holds: bool, text: &str| match holds {
            true => Ok(()),
            false => Err(host_error(format!("assert: {text}"))),
        })
        .register_fn("test_ctx", ctx)
        .register_fn("test_ctx", move |changes: Map| -> Fallible<Dynamic> {
            changed(ctx_with(), changes, "ctx").map(Dynamic::into_read_only)
        })
        .register_fn("test_draft", || draft::to_script(&a_draft()))
        .register_fn("test_draft", |changes: Map| changed(draft::to_script(&a_draft()), changes, "a draft"))
        .register_fn("assert_eq", |left: Dynamic, right: Dynamic| match is_same(&left, &right) {
            true => Ok(()),
            false => {
                let (left, right) = (literal(&left), literal(&right));
                Err(host_error(format!("assert_eq: left is {left}, right is {right}")))
            }
        });
    engine
}

/// Sets keys of a fixture; where both are maps, key by key, so that one setting or parameter can be set alone.
fn changed(fixture: Dynamic, changes: Map, what: &str) -> Fallible<Dynamic> {
    let mut fixture: Map = fixture.try_cast().unwrap_or_default();
    for (key, change) in changes {
        let Some(value) = fixture.get_mut(&key) else {
            let known: Vec<_> = fixture.keys().map(|key| key.as_str()).collect();
            return Err(host_error(format!("{what} has no key \"{key}\"; it has {}", known.join(", "))));
        };
        if let Some(parts) = change.read_lock::<Map>()
            && let Some(mut whole) = value.write_lock::<Map>()
        {
            whole.extend(parts.clone());
            continue;
        }
        *value = change;
    }
    Ok(fixture.into())
}

/// What `test_ctx()` tells a hook, and `fireside plugin try` without `--user`.
pub(super) fn context() -> Context {
    Context {
        source: RequestSource::Web,
        kind: "chat",
        user: "ada".into(),
        user_id: UserId::UNKNOWN,
        conversation: Some(ConversationId::UNKNOWN),
        model: "test".into(),
        trace: super::trace::Recorder::default(),
    }
}

/// What `test_draft()` holds: a system prompt and one message.
fn a_draft() -> Draft {
    let said = |role, content: &str| PromptMessage { role, content: content.into(), token_ids: None };
    let messages = vec![said(Role::System, "Be kind."), said(Role::User, "Hello")];
    Draft { messages, ..Draft::default() }
}
