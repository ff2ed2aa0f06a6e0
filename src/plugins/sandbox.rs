//! The engine that runs every script, with every limit set.
//!
//! Invariants: a script reaches nothing but its arguments and the host functions; it ends at the first operation
//! after its deadline or above its memory; no single native call is long or large enough to matter in between.
//! `no_closure` is on: captured variables could form cycles that nothing frees and chains that nothing unwinds.

use std::sync::Arc;

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage,
    BasicMathPackage, BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Dynamic, OptimizationLevel, def_package};
use tokio::task::JoinHandle;

use super::services::Services;
use super::workers::{NotRun, Workers};
use super::{budget, host, natives};
use crate::config::PluginsConfig;

const MAX_MODULES: usize = 32;
pub(super) const MAX_FUNCTIONS: usize = 1_000;
pub(super) const MAX_VARIABLES: usize = 1_000;
const MAX_EXPR_DEPTH: usize = 64;
const MAX_EXPR_DEPTH_IN_FUNCTIONS: usize = 64;

def_package! {
    /// What scripts have of Rhai's own functions, in one module: a function is looked for in each module, at every call.
    ///
    /// What is left out: LanguageCore (sleep, take, exit, JSON without bounds), time, blobs, bit fields.
    pub(super) ScriptPackage(module)
        : ArithmeticPackage
        , BasicStringPackage
        , BasicIteratorPackage
        , BasicFnPackage
        , LogicPackage
        , BasicMathPackage
        , BasicArrayPackage
        , BasicMapPackage
        , MoreStringPackage
    {}
}

/// The engine, the limits, the services, and the threads on which scripts run.
pub(super) struct Sandbox {
    pub(super) engine: rhai::Engine,
    pub(super) config: PluginsConfig,
    pub(super) services: Services,
    /// A clone is held by every reply that is on its way through `on_chunk`, to be counted.
    pub(super) present: Arc<()>,
    workers: Workers,
}

impl Sandbox {
    pub(super) fn new(config: PluginsConfig, services: Services) -> Self {
        let engine = engine(&config);
        Self { engine, config, services, present: Arc::new(()), workers: Workers::start() }
    }

    /// Runs a task that calls scripts often: on the sandbox's threads, where a call wakes nobody.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.workers.spawn(task)
    }

    /// Runs script work on a thread of the sandbox, away from the server's runtime; whether it may wait for the model.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        waits: bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotRun> {
        self.workers.run(waits, work).await
    }
}

/// A fresh engine with every limit of `config`. It resolves no imports.
pub(super) fn engine(config: &PluginsConfig) -> rhai::Engine {
    let mut engine = rhai::Engine::new_raw();
    ScriptPackage::new().register_into_engine(&mut engine);
    natives::register(&mut engine);
    host::register(&mut engine);

    engine
        .set_max_operations(config.max_operations)
        .set_max_call_levels(config.max_call_levels)
        .set_max_expr_depths(MAX_EXPR_DEPTH, MAX_EXPR_DEPTH_IN_FUNCTIONS)
        .set_max_string_size(config.max_string_bytes)
        .set_max_array_size(config.max_array_len)
        .set_max_map_size(config.max_map_len)
        .set_max_modules(MAX_MODULES)
        .set_max_functions(MAX_FUNCTIONS)
        .set_max_variables(MAX_VARIABLES)
        // The optimizer evaluates constants while it compiles, before any budget runs.
        .set_optimization_level(OptimizationLevel::None)
        // A misspelt variable is found when the file is loaded.
        .set_strict_variables(true)
        .disable_symbol("eval")
        // What is reached through `this` or kept in a curried function would escape the check of sizes below.
        .disable_symbol("this")
        .disable_symbol("curry")
        .on_progress(|operations| budget::progress(operations).map(Dynamic::from))
        .on_print(budget::log)
        .on_debug(|text, _, _| budget::log(text));
    check_variables(&mut engine);
    engine
}

/// Refuses a variable whose value is over the limits as soon as it is used again. Rhai checks what functions return
/// but not what is assigned to a part of a map or array; and it prints without bounds when a check fails in the
/// middle of printing, so that nothing over the limits may ever get there.
#[allow(deprecated)] // marks what may change in a later version of rhai
fn check_variables(engine: &mut rhai::Engine) {
    engine.on_var(|name, _, context| match context.scope().get(name) {
        Some(value) => context.engine().ensure_data_size_within_limits(value).map(|()| None),
        None => Ok(None),
    });
}
