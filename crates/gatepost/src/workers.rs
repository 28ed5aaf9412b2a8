//! The two bounded pools that costly work runs on: database lookups that block, and password hashing.
//! Knows how much may run and wait at once; must never know what a job computes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use auth::passdb::{Answer, BoxFuture, Busy, Job, UserAnswer};
use auth::scheme::SchemeError;
use tokio::sync::Semaphore;

/// Jobs that may wait for a place in a pool. A flood beyond it costs temporary failures, not memory.
const QUEUE: usize = 1_000;

/// Both pools. Must be used inside a tokio runtime.
pub struct Workers {
    lookups: Pool,
    checks: Pool,
}

impl Workers {
    /// Pools for `lookups` blocking lookups at once (`auth_worker_max_count`) and `cores` hash checks at
    /// once; at least one of each.
    pub fn new(lookups: usize, cores: usize) -> Self {
        Self { lookups: Pool::new(lookups, QUEUE), checks: Pool::new(cores, QUEUE) }
    }
}

impl auth::passdb::Workers for Workers {
    fn blocking(&self, job: Job<Answer>) -> BoxFuture<'_, Result<Answer, Busy>> {
        Box::pin(async {
            match self.lookups.run(job).await {
                Err(Refused::Panicked) => Ok(Answer::Failed("the lookup panicked".to_owned())),
                other => other.map_err(|_| Busy),
            }
        })
    }

    fn users(&self, job: Job<UserAnswer>) -> BoxFuture<'_, Result<UserAnswer, Busy>> {
        Box::pin(async {
            match self.lookups.run(job).await {
                Err(Refused::Panicked) => Ok(UserAnswer::Failed("the lookup panicked".to_owned())),
                other => other.map_err(|_| Busy),
            }
        })
    }

    fn hashing(
        &self,
        check: Job<Result<bool, SchemeError>>,
    ) -> BoxFuture<'_, Result<Result<bool, SchemeError>, Busy>> {
        // A check that panicked has not said no: like a full queue it is a temporary failure, where an
        // error of the scheme would be told as a wrong password.
        Box::pin(async { self.checks.run(check).await.map_err(|_| Busy) })
    }
}

/// Why a job gave no result.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    /// The queue is full.
    Full,
    /// The job panicked; the panic went no further.
    Panicked,
}

/// Some places to run in, and a queue before them.
struct Pool {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
}

impl Pool {
    fn new(places: usize, queue: usize) -> Self {
        let places = places.clamp(1, Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(places)), waiting: AtomicUsize::new(0), queue }
    }

    /// Runs the job on a thread that may block, as soon as a place is free.
    async fn run<T: Send + 'static>(&self, job: Job<T>) -> Result<T, Refused> {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                let _waiting = Waiting::begin(&self.waiting, self.queue).ok_or(Refused::Full)?;
                Arc::clone(&self.places).acquire_owned().await.map_err(|_| Refused::Full)?
            }
        };
        // The place goes with the job: a caller that gives up does not make room for one job too many.
        let running = tokio::task::spawn_blocking(move || {
            let result = job();
            drop(place);
            result
        });
        running.await.map_err(|_| Refused::Panicked)
    }
}

/// A seat in the queue, given back when dropped: also when the waiting caller goes away.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        let one_more = |now: usize| (now < most).then_some(now + 1);
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap()
    }

    #[test]
    fn jobs_beyond_the_queue_are_refused_at_once() {
        runtime().block_on(async {
            let pool = Arc::new(Pool::new(1, 2));
            let (finish, wait) = mpsc::channel::<()>();
            let (begun, running) = tokio::sync::oneshot::channel();
            let first = tokio::spawn({
                let pool = Arc::clone(&pool);
                async move {
                    let job = move || {
                        begun.send(()).unwrap();
                        wait.recv().unwrap();
                        1
                    };
                    pool.run(Box::new(job)).await
                }
            });
            running.await.unwrap();
            let queued: Vec<_> = (2..4)
                .map(|n| {
                    let pool = Arc::clone(&pool);
                    tokio::spawn(async move { pool.run(Box::new(move || n)).await })
                })
                .collect();
            while pool.waiting.load(Ordering::Relaxed) < 2 {
                tokio::task::yield_now().await;
            }
            assert_eq!(pool.run(Box::new(|| 4)).await, Err(Refused::Full));
            finish.send(()).unwrap();
            assert_eq!(first.await.unwrap(), Ok(1));
            for (n, queued) in (2..4).zip(queued) {
                assert_eq!(queued.await.unwrap(), Ok(n));
            }
            assert_eq!(pool.run(Box::new(|| 5)).await, Ok(5));
        });
    }

    #[test]
    fn a_caller_that_gives_up_leaves_its_seat() {
        runtime().block_on(async {
            let pool = Arc::new(Pool::new(1, 1));
            let place = Arc::clone(&pool.places).acquire_owned().await.unwrap();
            let waiting = tokio::spawn({
                let pool = Arc::clone(&pool);
                async move { pool.run(Box::new(|| ())).await }
            });
            while pool.waiting.load(Ordering::Relaxed) < 1 {
                tokio::task::yield_now().await;
            }
            waiting.abort();
            assert!(waiting.await.unwrap_err().is_cancelled());
            assert_eq!(pool.waiting.load(Ordering::Relaxed), 0);
            drop(place);
            assert_eq!(pool.run(Box::new(|| 7)).await, Ok(7));
        });
    }

    #[test]
    fn a_panic_ends_its_job_only() {
        use auth::passdb::Workers as _;
        runtime().block_on(async {
            let workers = Workers::new(1, 1);
            for _ in 0..3 {
                let answer = workers.blocking(Box::new(|| panic!("broken driver"))).await;
                assert!(matches!(answer, Ok(Answer::Failed(_))));
                assert!(matches!(workers.hashing(Box::new(|| panic!("broken scheme"))).await, Err(Busy)));
            }
            assert!(matches!(workers.hashing(Box::new(|| Ok(true))).await, Ok(Ok(true))));
            assert!(matches!(workers.users(Box::new(|| UserAnswer::Unknown)).await, Ok(UserAnswer::Unknown)));
        });
    }
}
