//! One plugin: compiled, checked, and called.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rhai::{AST, CallFnOptions, Dynamic, EvalAltResult, Scope};

use super::budget::{self, Panicked};
use super::caller;
use super::choices::Plugin;
use super::compile;
use super::fault::{Fault, Source};
use super::hooks::{Context, Hook};
use super::manifest::{Hold, Manifest, OnFailure};
use super::message::COMMAND;
use super::sandbox::Sandbox;
use super::tally::{CallStats, Tally};
use super::trial;
use crate::config::PluginsConfig;
use crate::domain::SettingValues;

/// The constant in which a plugin describes itself.
const MANIFEST: &str = "PLUGIN";
/// Most commands of a plugin. Whoever types a `/` is shown them all, and a message is compared with each.
pub(super) const MAX_COMMANDS: usize = 100;

/// A version of a plugin that compiled. It never changes, except for its breaker and its tally.
pub(super) struct Compiled {
    pub(super) id: String,
    pub(super) manifest: Manifest,
    pub(super) hooks: Vec<Hook>,
    /// What may be typed after a `/`, and what each says it does.
    pub(super) commands: Vec<(String, String)>,
    /// The names of its `test_*` functions.
    pub(super) tests: Vec<String>,
    /// What `Rocket.toml` sets.
    pub(super) file: SettingValues,
    pub(super) breaker: Breaker,
    pub(super) tally: Tally,
    pub(super) source: Source,
    pub(super) ast: AST,
    /// Whether its functions may use what the file defines outside of them, which then runs before each call.
    uses_globals: bool,
    /// Whether its hooks may read their `ctx`.
    reads_ctx: bool,
}

impl Plugin {
    /// Compiles and checks a plugin. Call it on a thread of the sandbox.
    pub(super) fn load(id: &str, source: Source, config: &PluginsConfig) -> Result<Self, Fault> {
        let (engine, ast) = compile::compile(id, &source, config)?;
        let misnamed = |(name, why): (String, String)| source.fault_at(&format!("fn {name}"), why);
        let (hooks, names) = hooks(&ast).map_err(misnamed)?;
        let tests = trial::tests(&ast, &source.text).map_err(misnamed)?;
        let mut scope = Scope::new();
        let run = budget::within(config, id, || engine.run_ast_with_scope(&mut scope, &ast));
        flatten(&source, run.0)?;

        let wrong = |why: String| source.fault_at(MANIFEST, why);
        let manifest = match scope.get(MANIFEST) {
            None => Manifest::unnamed(id),
            Some(_) if scope.is_constant(MANIFEST) != Some(true) => {
                return Err(wrong("PLUGIN must be a constant: write `const PLUGIN = #{…};`".into()));
            }
            Some(declared) => Manifest::parse(id, declared).map_err(wrong)?,
        };
        let file = config.settings.get(id).cloned().unwrap_or_default();
        manifest.settings.check_file(id, &file).map_err(wrong)?;
        let missing = match manifest.hold {
            Hold::Chars(0) => None,
            Hold::Chars(_) => (!hooks.contains(&Hook::OnChunk)).then_some("on_chunk to keep text back for"),
            Hold::Reply => (!hooks.contains(&Hook::OnResponse)).then_some("on_response to wait for"),
        };
        if let Some(missing) = missing {
            return Err(wrong(format!("PLUGIN.hold is set, but there is no {missing}")));
        }
        let commands = names.into_iter().map(|name| {
            let about = source.about(&format!("{COMMAND}{name}"));
            (name, about)
        });
        let commands = commands.collect();
        let breaker = Breaker::new(config.breaker_failures);
        // Nothing else leads from a function to a constant or a neighbour.
        let uses_globals = ["global", "import"].iter().any(|word| source.text.contains(word));
        let reads_ctx = reads_first_parameters(&ast, &source.text);
        Ok(Self::of(Compiled {
            id: id.to_owned(),
            manifest,
            hooks,
            commands,
            tests,
            file,
            breaker,
            tally: Tally::new(),
            source,
            ast,
            uses_globals,
            reads_ctx,
        }))
    }

    /// Whether a request must be refused when this plugin cannot do its work.
    pub(super) fn is_closed(&self) -> bool {
        self.manifest.on_failure == OnFailure::Refuse
    }

    /// Whether it may wait for the model.
    pub(super) fn asks_for_llm(&self) -> bool {
        self.manifest.capabilities.iter().any(|capability| capability == "llm")
    }

    /// The calls of each of its hooks.
    pub(super) fn stats(&self) -> Vec<(Hook, CallStats)> {
        self.hooks.iter().map(|hook| (*hook, self.tally.of(*hook))).collect()
    }

    /// Calls a hook. `input` makes its second argument; `output` checks what it returns, and its error is the
    /// rest of a sentence that begins with the hook's name.
    pub(super) fn call<T>(
        self: &Arc<Self>,
        sandbox: &Arc<Sandbox>,
        hook: Hook,
        ctx: &Context,
        input: impl FnOnce() -> Dynamic,
        output: impl FnOnce(Dynamic) -> Result<T, String>,
    ) -> Result<T, Fault> {
        let told = || self.tell(ctx);
        self.call_function(sandbox, hook, hook.name(), (ctx, told), input, output)
    }

    /// The `ctx` of a request, as this plugin's functions get it.
    pub(super) fn tell(&self, ctx: &Context) -> Dynamic {
        ctx.to_script(&self.settings, &self.user_settings)
    }

    /// As [`Plugin::call`], for a hook of which a plugin may have more than one function, and for many calls of one request:
    /// beside the request comes what makes their first argument.
    pub(super) fn call_function<T>(
        self: &Arc<Self>,
        sandbox: &Arc<Sandbox>,
        hook: Hook,
        function: &str,
        (ctx, told): (&Context, impl FnOnce() -> Dynamic),
        input: impl FnOnce() -> Dynamic,
        output: impl FnOnce(Dynamic) -> Result<T, String>,
    ) -> Result<T, Fault> {
        let call = || {
            let ctx = if self.reads_ctx { told() } else { Dynamic::UNIT };
            let arguments = (ctx, input());
            let options = CallFnOptions::new().eval_ast(self.uses_globals);
            let returned: Dynamic = sandbox
                .engine
                .call_fn_with_options(options, &mut Scope::new(), &self.ast, function, arguments)
                .map_err(|error| self.source.failed(error))?;
            output(returned)
                .map_err(|why| self.source.fault_at(&format!("fn {function}"), format!("{function} {why}")))
        };
        let _caller = caller::enter(sandbox, self, ctx);
        let (result, spent) = budget::within(&sandbox.config, &self.id, call);
        tracing::debug!(
            plugin = self.id,
            hook = hook.name(),
            micros = spent.time.as_micros(),
            peak_bytes = spent.peak_bytes,
            "called"
        );
        let result = result.unwrap_or_else(|Panicked| Err(panicked(&self.source)));
        self.tally.record(hook, spent.time, result.as_ref().err());
        result
    }
}

/// What a call under a budget came to.
pub(super) fn flatten<T>(
    source: &Source,
    result: Result<Result<T, Box<EvalAltResult>>, Panicked>,
) -> Result<T, Fault> {
    match result {
        Ok(result) => result.map_err(|error| source.failed(error)),
        Err(Panicked) => Err(panicked(source)),
    }
}

fn panicked(source: &Source) -> Fault {
    source.fault("a host function panicked; this is a bug of the server, which goes on")
}

fn is_called_by_the_host(name: &str) -> bool {
    name.starts_with("on_") || name.starts_with(COMMAND)
}

/// The hooks that the script defines, and the names of its commands; the error is a function's name and what is wrong with it.
fn hooks(ast: &AST) -> Result<(Vec<Hook>, Vec<String>), (String, String)> {
    let mut found = Vec::new();
    let mut commands = Vec::new();
    for function in ast.iter_functions().filter(|function| is_called_by_the_host(function.name)) {
        let wrong = |why| (function.name.to_owned(), why);
        let command = function.name.strip_prefix(COMMAND);
        if command.is_some() && commands.len() == MAX_COMMANDS {
            return Err(wrong(format!(
                "is one of more than {MAX_COMMANDS} commands; put some into another plugin"
            )));
        }
        let typed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if command.is_some_and(|name| name.is_empty() || !name.chars().all(typed)) {
            return Err(wrong("the name of a command has small letters, digits and _".into()));
        }
        let known = Hook::ALL.iter().find(|hook| hook.name() == function.name);
        let Some(hook) = command.map_or(known, |_| Some(&Hook::Command)) else {
            let known = Hook::ALL.iter().map(|hook| hook.name()).collect::<Vec<_>>().join(", ");
            return Err(wrong(format!("there is no hook {}; there are {known}", function.name)));
        };
        if function.params.len() != hook.parameters().len() {
            return Err(wrong(format!("{} takes ({})", function.name, hook.parameters().join(", "))));
        }
        found.push(*hook);
        commands.extend(command.map(str::to_owned));
    }
    if found.is_empty() {
        let known = Hook::ALL.iter().map(|hook| hook.name()).collect::<Vec<_>>().join(", ");
        return Err((String::new(), format!("defines no hook; there are {known}")));
    }
    found.sort_by_key(|hook| Hook::ALL.iter().position(|known| known == hook));
    found.dedup();
    commands.sort();
    Ok((found, commands))
}

/// Whether the first parameter of a hook, its `ctx`, may be read: its name stands elsewhere than at the head of a function.
/// A script reaches a variable by its name only.
fn reads_first_parameters(ast: &AST, text: &str) -> bool {
    let hooks = ast.iter_functions().filter(|function| is_called_by_the_host(function.name));
    let names: HashSet<&str> = hooks.filter_map(|function| function.params.first().copied()).collect();
    let mut before = ["", "", ""];
    words(text).any(|word| {
        let is_at_a_head = matches!(before, ["fn", _, "("]);
        before = [before[1], before[2], word];
        names.contains(word) && !is_at_a_head
    })
}

/// The words of a script and what stands between them, character by character, but white space.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_of_a_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let end = match is_of_a_word(first) {
            true => rest.find(|c| !is_of_a_word(c)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        let (word, behind) = rest.split_at(end);
        rest = behind;
        Some(word)
    })
}

/// Stops calling a plugin that fails every time.
pub(super) struct Breaker {
    /// Failures in a row of each hook: one that works says nothing about another.
    failures: [AtomicU32; Hook::ALL.len()],
    /// The hooks that were half opened and have not succeeded since.
    on_trial: [AtomicBool; Hook::ALL.len()],
    limit: u32,
}

impl Breaker {
    fn new(limit: u32) -> Self {
        Self { failures: Default::default(), on_trial: Default::default(), limit }
    }

    /// After an edit: where the version before was stopped, the first failure stops this one again. An edit of what
    /// is still on trial changes nothing about that.
    pub(super) fn take_over(&self, previous: &Self, hooks: &[Hook]) {
        for hook in hooks.iter().map(|hook| *hook as usize) {
            let stopped = previous.failures[hook].load(Ordering::Relaxed) >= previous.limit;
            if stopped || previous.on_trial[hook].load(Ordering::Relaxed) {
                self.failures[hook].store(self.limit.saturating_sub(1), Ordering::Relaxed);
                self.on_trial[hook].store(true, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn is_on_trial(&self) -> bool {
        self.on_trial.iter().any(|hook| hook.load(Ordering::Relaxed))
    }

    pub(super) fn is_open(&self) -> bool {
        self.failures.iter().any(|count| count.load(Ordering::Relaxed) >= self.limit)
    }

    /// Whether the last call of a hook failed.
    pub(super) fn has_failures(&self) -> bool {
        self.failures.iter().any(|count| count.load(Ordering::Relaxed) > 0)
    }

    pub(super) fn record(&self, hook: Hook, failed: bool) {
        let count = &self.failures[hook as usize];
        if failed {
            count.fetch_add(1, Ordering::Relaxed);
        } else {
            count.store(0, Ordering::Relaxed);
            self.on_trial[hook as usize].store(false, Ordering::Relaxed);
        }
    }
}
