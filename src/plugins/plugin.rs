//! One plugin: compiled, checked, and called.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use rhai::{AST, CallFnOptions, Dynamic, EvalAltResult, Module, Position, Scope};

use super::budget::{self, Panicked};
use super::caller;
use super::fault::{Fault, Source};
use super::hooks::{Context, Hook};
use super::manifest::{Manifest, OnFailure};
use super::sandbox::{self, Sandbox};
use crate::config::PluginsConfig;

/// The constant in which a plugin describes itself.
const MANIFEST: &str = "PLUGIN";

/// A version of a plugin that compiled. It never changes, except for its breaker.
pub(super) struct Plugin {
    pub(super) id: String,
    pub(super) manifest: Manifest,
    pub(super) hooks: Vec<Hook>,
    pub(super) breaker: Breaker,
    source: Source,
    ast: AST,
    settings: Dynamic,
}

impl Plugin {
    /// Compiles and checks a plugin. Call it on a thread of the sandbox.
    pub(super) fn load(id: &str, source: Source, config: &PluginsConfig) -> Result<Self, Fault> {
        let mut engine = sandbox::engine(config);
        engine.set_module_resolver(Neighbours::of(&source));
        // A compilation runs nothing, so it has a budget of its own.
        let compiled =
            budget::within(config, id, || engine.compile_into_self_contained(&Scope::new(), &source.text));
        let mut ast = flatten(&source, compiled.0)?;
        ast.set_source(source.file.as_str());

        let hooks = hooks(&ast).map_err(|(name, why)| source.fault_at(&format!("fn {name}"), why))?;
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
        let settings = manifest.settings.resolve(id, config.settings.get(id)).map_err(wrong)?;
        if manifest.holds_reply && !hooks.contains(&Hook::OnResponse) {
            return Err(wrong("PLUGIN.hold is \"reply\", but there is no on_response to wait for".into()));
        }
        let breaker = Breaker::new(config.breaker_failures);
        Ok(Self { id: id.to_owned(), manifest, hooks, breaker, source, ast, settings })
    }

    /// Whether a request must be refused when this plugin cannot do its work.
    pub(super) fn is_closed(&self) -> bool {
        self.manifest.on_failure == OnFailure::Refuse
    }

    /// Calls a hook. `input` makes its second argument; `output` checks what it returns, and its error is the
    /// rest of a sentence that begins with the hook's name.
    pub(super) fn call<T>(
        &self,
        sandbox: &Sandbox,
        hook: Hook,
        ctx: &Context,
        input: impl FnOnce() -> Dynamic,
        output: impl FnOnce(Dynamic) -> Result<T, String>,
    ) -> Result<T, Fault> {
        let call = || {
            let arguments = (ctx.to_script(&self.settings), input());
            let returned: Dynamic = sandbox
                .engine
                .call_fn_with_options(
                    CallFnOptions::new(),
                    &mut Scope::new(),
                    &self.ast,
                    hook.name(),
                    arguments,
                )
                .map_err(|error| self.source.failed(error))?;
            output(returned).map_err(|why| {
                self.source.fault_at(&format!("fn {}", hook.name()), format!("{} {why}", hook.name()))
            })
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
        result.unwrap_or_else(|Panicked| Err(panicked(&self.source)))
    }
}

fn flatten<T>(source: &Source, result: Result<Result<T, Box<EvalAltResult>>, Panicked>) -> Result<T, Fault> {
    match result {
        Ok(result) => result.map_err(|error| source.failed(error)),
        Err(Panicked) => Err(panicked(source)),
    }
}

fn panicked(source: &Source) -> Fault {
    source.fault("a host function panicked; this is a bug of the server, which goes on")
}

/// The hooks that the script defines; the error is a function's name and what is wrong with it.
fn hooks(ast: &AST) -> Result<Vec<Hook>, (String, String)> {
    let mut found = Vec::new();
    for function in ast.iter_functions().filter(|function| function.name.starts_with("on_")) {
        let wrong = |why| (function.name.to_owned(), why);
        let Some(hook) = Hook::ALL.iter().find(|hook| hook.name() == function.name) else {
            let known = Hook::ALL.iter().map(|hook| hook.name()).collect::<Vec<_>>().join(", ");
            return Err(wrong(format!("there is no hook {}; there are {known}", function.name)));
        };
        if function.params.len() != hook.parameters().len() {
            return Err(wrong(format!("{} takes ({})", hook.name(), hook.parameters().join(", "))));
        }
        found.push(*hook);
    }
    if found.is_empty() {
        let known = Hook::ALL.iter().map(|hook| hook.name()).collect::<Vec<_>>().join(", ");
        return Err((String::new(), format!("defines no hook; there are {known}")));
    }
    found.sort_by_key(|hook| Hook::ALL.iter().position(|known| known == hook));
    Ok(found)
}

/// Stops calling a plugin that fails every time.
pub(super) struct Breaker {
    /// Failures in a row of each hook: one that works says nothing about another.
    failures: [AtomicU32; Hook::ALL.len()],
    limit: u32,
}

impl Breaker {
    fn new(limit: u32) -> Self {
        Self { failures: Default::default(), limit }
    }

    /// After an edit of a plugin that was stopped: the first failure stops it again.
    pub(super) fn half_open(&self) {
        for count in &self.failures {
            count.store(self.limit.saturating_sub(1), Ordering::Relaxed);
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.failures.iter().any(|count| count.load(Ordering::Relaxed) >= self.limit)
    }

    pub(super) fn record(&self, hook: Hook, failed: bool) {
        let count = &self.failures[hook as usize];
        if failed {
            count.fetch_add(1, Ordering::Relaxed);
        } else {
            count.store(0, Ordering::Relaxed);
        }
    }
}

/// Resolves the imports of a plugin among the files of its own folder, which were read before.
struct Neighbours {
    folder: String,
    texts: Vec<(String, String)>,
    /// What is being imported now, to find circles.
    open: Mutex<Vec<String>>,
}

impl Neighbours {
    fn of(source: &Source) -> Self {
        let folder = source.file.rsplit_once('/').map_or("", |(folder, _)| folder);
        Self { folder: folder.to_owned(), texts: source.neighbours.clone(), open: Mutex::default() }
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
        let open = || self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if open().iter().any(|name| name == path) {
            return Err(super::fault::host_error(format!("{file} imports itself")));
        }
        open().push(path.to_owned());
        let module = engine.compile(text).map_err(Into::into).and_then(|mut ast| {
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
