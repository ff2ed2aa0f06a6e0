//! The threads on which scripts run, away from the server's own runtime: a runtime of their own, with large stacks.
//!
//! A task that calls scripts often runs there as a whole: a call then wakes no thread.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

/// Calls that run at the same time; further ones wait for their turn.
const PARALLEL_CALLS: usize = 4;
/// Calls that run or wait for a thread; further ones wait for a place, and leave it if their caller goes away.
const MAX_JOBS: usize = 64;
/// Stack of a call. Values nested as deep as memory and time allow are walked by recursion, and a stack that
/// overflows ends the process; only what is touched takes memory.
const STACK_BYTES: usize = 256 << 20;

thread_local! {
    /// Whether this is one of the threads.
    static IS_ONE: Cell<bool> = const { Cell::new(false) };
    /// The job that runs on this thread.
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

struct Running {
    permit: Option<OwnedSemaphorePermit>,
    caller: watch::Receiver<()>,
}

/// Ends a job's part in its thread when it is dropped, also by a panic.
struct Runs;

impl Drop for Runs {
    fn drop(&mut self) {
        RUNNING.set(None);
    }
}

/// The threads of a sandbox. They end when it is dropped.
pub(super) struct Workers {
    permits: Arc<Semaphore>,
    /// None where the operating system gave no thread, and while it is dropped.
    runtime: Option<Runtime>,
}

impl Workers {
    pub(super) fn start() -> Self {
        let built = Builder::new_multi_thread()
            .worker_threads(PARALLEL_CALLS)
            .thread_name("plugin")
            .thread_stack_size(STACK_BYTES)
            .on_thread_start(|| IS_ONE.set(true))
            .enable_all()
            .build();
        let runtime = match built {
            Ok(runtime) => Some(runtime),
            Err(error) => {
                tracing::error!("the operating system gives no threads for plugins: {error}");
                None
            }
        };
        Self { permits: Arc::new(Semaphore::new(MAX_JOBS)), runtime }
    }

    /// Runs a task on these threads; where there are none, on the caller's.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        match &self.runtime {
            Some(runtime) => runtime.spawn(task),
            None => tokio::spawn(task),
        }
    }

    /// Runs script work on one of the threads. When the caller goes away while it runs, it still ends within its budget, and
    /// keeps its permit until then; when it has not begun yet, it does not.
    ///
    /// Work that never waits for the model is run at once where the caller is on such a thread. Other work would keep the caller
    /// from seeing that nobody waits any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        waits: bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotRun> {
        if !waits && IS_ONE.get() {
            return catch_unwind(AssertUnwindSafe(work)).map_err(|_| NotRun::Ended);
        }
        let runtime = self.runtime.as_ref().ok_or(NotRun::Ended)?;
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| NotRun::Ended)?;
        let (done, result) = oneshot::channel();
        // Dropped with this future.
        let (waiting, caller) = watch::channel(());
        runtime.spawn(async move {
            if done.is_closed() {
                return;
            }
            RUNNING.set(Some(Running { permit: Some(permit), caller }));
            let _runs = Runs;
            if done.send(work()).is_err() {
                tracing::debug!("a plugin ended after its caller had gone");
            }
        });
        let result = result.await.map_err(|_| NotRun::Ended);
        drop(waiting);
        result
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background(); // The last handle may go away on a thread of a runtime, which must not wait.
        }
    }
}

/// Lets a job wait for something other than its script: another thread takes its place among those that run scripts, so that
/// nobody waits with it.
pub(super) fn aside<T>(wait: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(wait)
}

/// Call it before a job waits for long: it no longer counts among the jobs. Returns a channel whose sender is dropped when
/// nobody waits for the job.
pub(super) fn leave_place() -> Option<watch::Receiver<()>> {
    RUNNING.with_borrow_mut(|running| {
        let running = running.as_mut()?;
        drop(running.permit.take());
        Some(running.caller.clone())
    })
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
