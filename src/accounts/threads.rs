//! The threads that hash passwords, the memory in which they do it, and the queue before them.
//!
//! Invariant: hashing takes the memory of [`AT_ONCE`] hashes, whatever arrives. Each thread has one buffer for all of its
//! hashes and gives it back when nobody has signed in for a while. A buffer for each hash would stay with the process: the
//! allocator keeps such memory for each thread that ever had some.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argon2::Block;
use tokio::sync::oneshot;

use super::AccountError;

/// Hashes at a time. Each one keeps a core busy for some 50 ms, which the model would miss.
const AT_ONCE: usize = 2;

/// Hashes that may wait: less than two seconds of work.
const MAY_WAIT: usize = 64;

/// Further places, which strangers do not get.
const MAY_WAIT_KNOWN: usize = MAY_WAIT + 16;

/// How long a thread keeps its memory for a next hash.
const KEEP_MEMORY: Duration = Duration::from_secs(10);

/// Who waits for a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// Anybody.
    Stranger,
    /// A known browser, a person who is signed in, or the operator. Strangers do not take all of their places.
    Known,
}

type Job = Box<dyn FnOnce(&mut Vec<Block>) + Send>;

/// A handle on the threads; they end with it.
pub(super) struct Threads(Arc<Queue>);

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    threads: usize,
    closed: bool,
}

impl Threads {
    /// No thread yet: each starts when it is needed first.
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// Runs `work` on one of the threads, with its memory.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        caller: Caller,
        work: impl FnOnce(&mut Vec<Block>) -> Result<T, String> + Send + 'static,
    ) -> Result<T, AccountError> {
        let (answer, answered) = oneshot::channel();
        self.submit(
            caller,
            Box::new(move |memory| {
                // Work that nobody waits for any more is left out.
                if !answer.is_closed() {
                    // An error says that its caller has just gone.
                    drop(answer.send(work(memory)));
                }
            }),
        )?;
        let broke_off = |_| AccountError::Hash("its thread broke off".into());
        answered.await.map_err(broke_off)?.map_err(AccountError::Hash)
    }

    fn submit(&self, caller: Caller, job: Job) -> Result<(), AccountError> {
        let places = match caller {
            Caller::Stranger => MAY_WAIT,
            Caller::Known => MAY_WAIT_KNOWN,
        };
        let mut state = self.0.lock();
        if state.waiting.len() >= places {
            return Err(AccountError::Busy);
        }
        if state.threads < AT_ONCE {
            match start(&self.0) {
                Ok(()) => state.threads += 1,
                Err(error) if state.threads == 0 => return Err(AccountError::Hash(error.to_string())),
                Err(error) => tracing::warn!(%error, "passwords are checked by fewer threads"),
            }
        }
        state.waiting.push_back(job);
        self.0.more.notify_one();
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.more.notify_all();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job, or none when there will be no more. A wait that is long takes the memory.
    fn next(&self, memory: &mut Vec<Block>) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            if memory.capacity() == 0 {
                state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.more.wait_timeout(state, KEEP_MEMORY);
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if timeout.timed_out() && state.waiting.is_empty() {
                *memory = Vec::new();
            }
        }
    }
}

fn start(queue: &Arc<Queue>) -> io::Result<()> {
    let queue = queue.clone();
    let work = move || {
        let _leave = Leave(&queue);
        let mut memory = Vec::new();
        while let Some(job) = queue.next(&mut memory) {
            job(&mut memory);
            // What is left of a hash would let a guess be checked without the work of hashing it.
            memory.fill(Block::new());
        }
    };
    std::thread::Builder::new().name("password".into()).spawn(work).map(drop)
}

/// Makes room for another thread, also when this one broke off.
struct Leave<'a>(&'a Queue);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.lock().threads -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    /// Threads that are busy until the sender is dropped.
    async fn busy() -> (Threads, mpsc::Sender<()>) {
        let threads = Threads::new();
        let (end, ended) = mpsc::channel();
        let ended = Arc::new(Mutex::new(ended));
        for _ in 0..AT_ONCE {
            let (started, starts) = oneshot::channel();
            let ended = ended.clone();
            let job = move |_: &mut Vec<Block>| {
                started.send(()).unwrap();
                assert!(ended.lock().unwrap().recv().is_err());
            };
            threads.submit(Caller::Stranger, Box::new(job)).unwrap();
            starts.await.unwrap();
        }
        (threads, end)
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_strangers_leave_room_for_those_who_are_known() {
        let (threads, end) = busy().await;
        let done = Arc::new(AtomicUsize::new(0));
        let submit = |caller| {
            let done = done.clone();
            let job = move |_: &mut Vec<Block>| {
                done.fetch_add(1, Ordering::Relaxed);
            };
            threads.submit(caller, Box::new(job))
        };

        let strangers = (0..100).filter(|_| submit(Caller::Stranger).is_ok()).count();
        let known = (0..100).filter(|_| submit(Caller::Known).is_ok()).count();

        assert_eq!((strangers, strangers + known), (MAY_WAIT, MAY_WAIT_KNOWN));
        assert!(matches!(submit(Caller::Stranger), Err(AccountError::Busy)));
        drop(end);
        while done.load(Ordering::Relaxed) < MAY_WAIT_KNOWN {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn work_whose_caller_has_gone_is_left_out() {
        let (threads, end) = busy().await;
        let done = Arc::new(AtomicUsize::new(0));
        let counted = done.clone();
        let mut gone = Box::pin(threads.run(Caller::Stranger, move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }));
        assert!(futures::poll!(&mut gone).is_pending());

        drop(gone);
        drop(end);

        threads.run(Caller::Stranger, |_| Ok(())).await.unwrap();
        assert_eq!(done.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn each_thread_hashes_in_one_buffer_that_is_left_empty() {
        let threads = Threads::new();
        for _ in 0..20 {
            let clean = threads.run(Caller::Stranger, |memory| {
                let clean = memory.iter().all(|block| block.as_ref().iter().all(|word| *word == 0));
                memory.resize(64, Block::new());
                memory.iter_mut().for_each(|block| block.as_mut().fill(7));
                Ok(clean)
            });
            assert!(clean.await.unwrap());
        }
        assert!(threads.0.lock().threads <= AT_ONCE);
    }

    #[tokio::test]
    async fn a_thread_that_breaks_off_is_an_error_and_is_replaced() {
        let threads = Threads::new();
        for _ in 0..2 * AT_ONCE {
            let broken = threads.run::<()>(Caller::Stranger, |_| panic!("for the test")).await;
            assert!(matches!(broken, Err(AccountError::Hash(_))), "{broken:?}");
        }
        while threads.0.lock().threads > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }

        threads.run(Caller::Stranger, |_| Ok(())).await.unwrap();
    }
}
