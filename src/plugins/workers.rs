//! The threads on which scripts run, away from the async runtime.
//!
//! The worker that went to sleep last takes the next job, and one is woken only where none is awake already to take it: most calls
//! take microseconds, as long as waking a thread does.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// Calls that run at the same time; further ones wait for their turn.
const PARALLEL_CALLS: usize = 4;
/// Calls that run or wait for a worker; further ones wait for a place, and leave it if their caller goes away.
const MAX_JOBS: usize = 64;
/// Stack of a call. Values nested as deep as memory and time allow are walked by recursion, and a stack that
/// overflows ends the process; only what is touched takes memory.
const STACK_BYTES: usize = 256 << 20;

type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    /// Where this worker takes its jobs from.
    static JOBS: RefCell<Option<Arc<Jobs>>> = const { RefCell::new(None) };
    /// The job that runs on this worker.
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
    /// Another worker has taken this one's part.
    static REPLACED: Cell<bool> = const { Cell::new(false) };
}

struct Running {
    permit: Option<OwnedSemaphorePermit>,
    caller: watch::Receiver<()>,
}

/// The workers of a sandbox. They end when it is dropped.
pub(super) struct Workers {
    permits: Arc<Semaphore>,
    jobs: Arc<Jobs>,
}

#[derive(Default)]
struct Jobs {
    // A std mutex: held for lines, never while a job runs.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// At most as many as there are permits.
    waiting: VecDeque<Job>,
    /// Workers that sleep; the last one wakes first.
    asleep: Vec<Thread>,
    /// One of them was woken and has not looked yet.
    waking: bool,
    over: bool,
}

impl Workers {
    pub(super) fn start() -> Self {
        let (permits, jobs) = (Arc::new(Semaphore::new(MAX_JOBS)), Arc::new(Jobs::default()));
        let workers = (0..PARALLEL_CALLS).map(|_| {
            let jobs = jobs.clone();
            thread().spawn(move || work(jobs))
        });
        let (started, failed): (Vec<_>, Vec<_>) = workers.partition(Result::is_ok);
        for error in failed.into_iter().filter_map(Result::err) {
            tracing::error!("the operating system gives no thread for plugins: {error}");
        }
        if started.is_empty() {
            permits.close();
        }
        Self { permits, jobs }
    }

    /// Runs script work on one of the threads. When the caller goes away while it runs, it still ends within its budget, and
    /// keeps its permit until then; when it has not begun yet, it does not.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotRun> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| NotRun::Ended)?;
        let (done, result) = oneshot::channel();
        // Dropped with this future.
        let (waiting, caller) = watch::channel(());
        self.jobs.push(Box::new(move || {
            if done.is_closed() {
                return;
            }
            RUNNING.set(Some(Running { permit: Some(permit), caller }));
            if done.send(work()).is_err() {
                tracing::debug!("a plugin ended after its caller had gone");
            }
        }));
        let result = result.await.map_err(|_| NotRun::Ended);
        drop(waiting);
        result
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let mut state = self.jobs.lock();
        state.over = true;
        for worker in state.asleep.drain(..) {
            worker.unpark();
        }
    }
}

impl Jobs {
    fn push(&self, job: Job) {
        let mut state = self.lock();
        state.waiting.push_back(job);
        let next = state.next_to_wake();
        drop(state);
        wake(next);
    }

    /// The next job; sleeps until there is one. None when there will be no more.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                let next = state.next_to_wake();
                drop(state);
                wake(next);
                return Some(job);
            }
            if state.over {
                return None;
            }
            let this = std::thread::current();
            let id = this.id();
            state.asleep.push(this);
            drop(state);
            std::thread::park();
            state = self.lock();
            state.waking = false;
            // It may have woken by itself.
            state.asleep.retain(|worker| worker.id() != id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Who must be woken, if a job waits and nobody is on the way to it.
    fn next_to_wake(&mut self) -> Option<Thread> {
        if self.waiting.is_empty() || self.waking {
            return None;
        }
        let next = self.asleep.pop();
        self.waking = next.is_some();
        next
    }
}

fn wake(worker: Option<Thread>) {
    if let Some(worker) = worker {
        worker.unpark();
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
fn work(jobs: Arc<Jobs>) {
    JOBS.set(Some(jobs.clone()));
    while !REPLACED.get() {
        let Some(job) = jobs.next() else { return };
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
