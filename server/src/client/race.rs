//! Trying several ways at once: Happy Eyeballs (RFC 8305).

use std::time::Duration;

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Head start of one attempt over the next (RFC 8305 section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// The first attempt that succeeds, or else the last failure; `None` without any attempts. Each
/// starts when the one before has failed or had its head start; those left over are dropped.
pub(super) async fn race<F, T, E>(attempts: impl IntoIterator<Item = F>) -> Result<T, Option<E>>
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let mut waiting = attempts.into_iter();
    let mut running = JoinSet::new();
    let mut next = waiting.next();
    let mut next_start = Instant::now();
    let mut failure = None;
    loop {
        tokio::select! {
            biased;
            Some(result) = running.join_next() => match result {
                Ok(Ok(success)) => return Ok(success),
                Ok(Err(error)) => {
                    failure = Some(error);
                    next_start = Instant::now();
                }
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            },
            () = sleep_until(next_start), if next.is_some() => {
                if let Some(attempt) = next.take() {
                    running.spawn(attempt);
                }
                next = waiting.next();
                next_start = Instant::now() + STAGGER;
            }
            else => return Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{
        future::{pending, ready},
        pin::Pin,
    };

    use super::*;

    type Attempt = Pin<Box<dyn Future<Output = Result<u8, &'static str>> + Send>>;

    #[tokio::test]
    async fn the_first_success_wins_over_failures_and_silence() {
        let attempts: [Attempt; 3] =
            [Box::pin(ready(Err("no"))), Box::pin(pending()), Box::pin(ready(Ok(3)))];
        assert_eq!(race(attempts).await, Ok(3));
    }

    #[tokio::test]
    async fn the_last_failure_is_told() {
        let attempts: [Attempt; 2] = [Box::pin(ready(Err("first"))), Box::pin(ready(Err("last")))];
        assert_eq!(race(attempts).await, Err(Some("last")));
        assert_eq!(race(Vec::<Attempt>::new()).await, Err(None));
    }
}
