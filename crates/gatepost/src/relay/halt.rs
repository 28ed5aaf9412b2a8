//! The handle on a session that others may hold: it ends the session from outside and shows what it moved.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A handle on one session. Clones are the same handle. One task at a time waits on it: the login, later the relay.
#[derive(Clone, Debug, Default)]
pub struct Halt(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    waiting: Mutex<Option<Waker>>,
    to_client: AtomicU64,
    to_backend: AtomicU64,
}

impl Halt {
    /// A handle on a session that goes on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells the session to end.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::Release);
        if let Some(waker) = self.waiting().take() {
            waker.wake();
        }
    }

    /// Whether the session was told to end.
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Acquire)
    }

    /// Waits until the session is told to end.
    pub async fn stopped(&self) {
        poll_fn(|cx| if self.poll_stopped(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Bytes relayed so far: to the client, to the backend.
    pub fn moved(&self) -> (u64, u64) {
        (self.0.to_client.load(Ordering::Relaxed), self.0.to_backend.load(Ordering::Relaxed))
    }

    pub(super) fn to_client(&self) -> &AtomicU64 {
        &self.0.to_client
    }

    pub(super) fn to_backend(&self) -> &AtomicU64 {
        &self.0.to_backend
    }

    pub(super) fn poll_stopped(&self, cx: &mut Context<'_>) -> bool {
        if self.is_stopped() {
            return true;
        }
        {
            let mut waiting = self.waiting();
            match &mut *waiting {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        // Whoever stopped it before the waker was there has not woken anybody.
        self.is_stopped()
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stopping_wakes_whoever_waits_now_or_later() {
        let halt = Halt::new();
        let waiting = tokio::spawn({
            let halt = halt.clone();
            async move { halt.stopped().await }
        });
        tokio::task::yield_now().await;
        assert!(!halt.is_stopped());
        halt.stop();
        waiting.await.unwrap();
        halt.stopped().await;
    }
}
