//! The engine that runs every script, with every limit set.
//!
//! Invariants: a script reaches nothing but its arguments and the host functions; it ends at the first operation
//! after its deadline or above its memory; no single native call is long or large enough to matter in between.
//! `no_closure` is on: captured variables could form cycles that nothing frees and chains that nothing unwinds.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage,
    BasicMathPackage, BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Dynamic, OptimizationLevel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::services::Services;
use super::{budget, host, natives};
use crate::config::PluginsConfig;

/// Calls that run at the same time; further ones wait for their turn.
const PARALLEL_CALLS: usize = 4;
/// Stack of a call. Values nested as deep as memory and time allow are walked by recursion, and a stack that
/// overflows ends the process; only what is touched takes memory.
const STACK_BYTES: usize = 256 << 20;

const MAX_MODULES: usize = 32;
const MAX_FUNCTIONS: usize = 1_000;
const MAX_VARIABLES: usize = 1_000;
const MAX_EXPR_DEPTH: usize = 64;
const MAX_EXPR_DEPTH_IN_FUNCTIONS: usize = 64;

type Job = Box<dyn FnOnce() + Send>;
type Jobs = Arc<Mutex<Receiver<Job>>>;

thread_local! {
    /// Where this worker takes its jobs from.
    static JOBS: RefCell<Option<Jobs>> = const { RefCell::new(None) };
    /// The job that runs on this worker.
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
    /// Another worker has taken this one's part.
    static REPLACED: Cell<bool> = const { Cell::new(false) };
}

struct Running {
    permit: Option<OwnedSemaphorePermit>,
    caller: watch::Receiver<()>,
}

/// The engine, the limits, the services, and the threads on which scripts run.
pub(super) struct Sandbox {
    pub(super) engine: rhai::Engine,
    pub(super) config: PluginsConfig,
    pub(super) services: Services,
    permits: Arc<Semaphore>,
    /// Has room for a job of every permit, so that sending never waits. The workers end when it is dropped.
    jobs: SyncSender<Job>,
}

impl Sandbox {
    pub(super) fn new(config: PluginsConfig, services: Services) -> Self {
        let engine = engine(&config);
        let (jobs, queue) = sync_channel(PARALLEL_CALLS);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..PARALLEL_CALLS {
            let queue = queue.clone();
            if let Err(error) = thread().spawn(move || work(queue)) {
                tracing::error!("the operating system gives no thread for plugins: {error}");
            }
        }
        Self { engine, config, services, permits: Arc::new(Semaphore::new(PARALLEL_CALLS)), jobs }
    }

    /// Runs script work on a thread of the sandbox, away from the async runtime. When the caller goes away the
    /// work still ends within its budget, and keeps its permit until then.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotRun> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| NotRun::Ended)?;
        let (done, result) = oneshot::channel();
        // Dropped with this future.
        let (waiting, caller) = watch::channel(());
        let job = move || {
            RUNNING.set(Some(Running { permit: Some(permit), caller }));
            if done.send(work()).is_err() {
                tracing::debug!("a plugin ended after its caller had gone");
            }
        };
        self.jobs.try_send(Box::new(job)).map_err(|_| NotRun::Ended)?;
        let result = result.await.map_err(|_| NotRun::Ended);
        drop(waiting);
        result
    }
}

/// Call it before a job waits for something other than its script, for long: another thread takes its place among those
/// that run scripts, so that nobody waits with it. Returns a channel whose sender is dropped when nobody waits for the job.
pub(super) fn step_aside() -> Option<watch::Receiver<()>> {
    let jobs = JOBS.with_borrow(Clone::clone);
    if let Some(jobs) = jobs
        && !REPLACED.get()
        && thread().spawn(move || work(jobs)).is_ok()
    {
        REPLACED.set(true);
        drop(RUNNING.with_borrow_mut(|running| running.as_mut().and_then(|running| running.permit.take())));
    }
    RUNNING.with_borrow(|running| running.as_ref().map(|running| running.caller.clone()))
}

/// A worker's life: one job after the other until the sandbox is gone, or another has taken its part.
fn work(jobs: Jobs) {
    JOBS.set(Some(jobs.clone()));
    while !REPLACED.get() {
        // Held while waiting: the workers wait in a row, and the first of them takes the next job.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a plugin call panicked outside of its script");
        }
        RUNNING.set(None);
    }
}

/// Runs script work on a thread like the sandbox's and waits for it. For code that may block.
pub(super) fn run_blocking<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, NotRun> {
    std::thread::scope(|scope| {
        let worker = thread().spawn_scoped(scope, work).map_err(NotRun::NoThread)?;
        worker.join().map_err(|_| NotRun::Ended)
    })
}

fn thread() -> std::thread::Builder {
    std::thread::Builder::new().name("plugin".into()).stack_size(STACK_BYTES)
}

/// Why script work gave no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotRun {
    /// The operating system gives no thread.
    #[error("the operating system gives no thread for it: {0}")]
    NoThread(std::io::Error),
    /// The thread ended without a result.
    #[error("its thread ended without a result")]
    Ended,
}

/// A fresh engine with every limit of `config`. It resolves no imports.
pub(super) fn engine(config: &PluginsConfig) -> rhai::Engine {
    let mut engine = rhai::Engine::new_raw();
    // What is left out: LanguageCore (sleep, take, exit, JSON without bounds), time, blobs, bit fields.
    ArithmeticPackage::new().register_into_engine(&mut engine);
    BasicStringPackage::new().register_into_engine(&mut engine);
    BasicIteratorPackage::new().register_into_engine(&mut engine);
    BasicFnPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
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
        .on_progress(|_| budget::exceeded().map(Dynamic::from))
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
