//! The thread that writes what one transfer receives: its start, its confinement and its end.
//!
//! It is a thread of its own, not one of a pool, for it is confined to the destination and that cannot
//! be taken back (see [`confine`](crate::transfer::confine)). It opens all files of the transfer. There
//! is one at a time, for one state of the reception; where the sender begins anew, another one takes
//! over what the first left.

use std::path::PathBuf;

use filefleet_server::protos::certificate::IdentityKey;
use tokio::sync::{mpsc, oneshot};

use super::writer::{self, Ended, Job, Keeper, Terms, Written};
use crate::store::Store;
use crate::transfer::dest::{DestError, Destination};
use crate::transfer::progress::Fault;
use crate::transfer::proto::Reason;
use crate::transfer::{FolderId, TransferId};

/// The name of the writing threads.
const NAME: &str = "ff-writer";

/// Where a transfer arrives, and what a thread must know to write it.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) dest_dir: PathBuf,
    /// Whether the folder is made when it does not exist.
    pub(super) make_dir: bool,
    pub(super) folder_id: FolderId,
    pub(super) terms: Terms,
    pub(super) sender: IdentityKey,
    pub(super) id: TransferId,
    /// The names at the top of what is sent, where all of them are known.
    pub(super) tops: Option<Vec<Vec<u8>>>,
    pub(super) store: Store,
}

/// How a thread ended, and its queue for the next one.
pub(super) type Outcome = (Ended, mpsc::Receiver<Job>);

/// A running writing thread. Dropped, it leaves the thread to end by itself, as it does when nobody
/// has jobs for it any more.
#[derive(Debug)]
pub(super) struct Writing(oneshot::Receiver<Outcome>);

impl Writing {
    /// Starts the thread of the state `instance`. That it could not open the destination, or that there
    /// is no `room` for so many bytes, is how it ends.
    pub(super) fn start(
        plan: &Plan,
        instance: u64,
        room: Option<u64>,
        jobs: mpsc::Receiver<Job>,
        tell: mpsc::Sender<Written>,
    ) -> Self {
        let with = plan.clone();
        Self::start_with(plan.clone(), jobs, move |dest, jobs| {
            let (keeper, compares) = match prepare(&with, &dest, room) {
                Ok(prepared) => prepared,
                Err(error) => return (writer::ended_by(&error), jobs),
            };
            // The task may be gone already; then nobody needs to be told.
            let _ = tell.blocking_send(Written::Ready { instance, compares });
            writer::write(dest, keeper, instance, with.terms, jobs, &tell)
        })
    }

    fn start_with(
        plan: Plan,
        jobs: mpsc::Receiver<Job>,
        work: impl FnOnce(Destination, mpsc::Receiver<Job>) -> Outcome + Send + 'static,
    ) -> Self {
        let (end, ended) = oneshot::channel();
        let thread = move || {
            let outcome = match open(&plan) {
                Ok(dest) => work(dest, jobs),
                Err(error) => (writer::ended_by(&error), jobs),
            };
            // Nobody waits for the end of a thread that the program's end has cut off.
            let _ = end.send(outcome);
        };
        if let Err(error) = std::thread::Builder::new().name(NAME.to_owned()).spawn(thread) {
            tracing::error!(%error, "no thread to write with");
        }
        Self(ended)
    }

    /// Waits for the end of the thread, which has then let go of the destination. Cancel-safe.
    pub(super) async fn ended(&mut self) -> Result<Outcome, Fault> {
        (&mut self.0).await.map_err(|_| {
            tracing::error!("the writing thread of a transfer ended badly");
            Fault::reason(Reason::Io, "the writing thread ended")
        })
    }
}

/// Waits for the end of the thread; without one, for ever. Cancel-safe.
pub(super) async fn ended(writing: &mut Option<Writing>) -> Result<Outcome, Fault> {
    match writing {
        Some(running) => {
            let outcome = running.ended().await;
            *writing = None;
            outcome
        }
        None => std::future::pending().await,
    }
}

fn open(plan: &Plan) -> Result<Destination, DestError> {
    if plan.make_dir
        && let Err(error) = std::fs::create_dir_all(&plan.dest_dir)
    {
        // What is wrong with it is said when it is opened.
        tracing::warn!(%error, "cannot make the folder for received files");
    }
    Destination::create_confined(&plan.dest_dir, plan.folder_id)
}

/// Brings the journal up to date; says whether there is anything to compare with.
fn prepare(
    plan: &Plan,
    dest: &Destination,
    room: Option<u64>,
) -> Result<(Keeper, bool), DestError> {
    room.map_or(Ok(()), |bytes| dest.check_room(bytes))?;
    let journal =
        plan.store.journal(&plan.sender, &plan.dest_dir, plan.id).map_err(writer::store_error)?;
    let holds = journal.holds(plan.tops.clone()).map_err(writer::store_error)?;
    Ok((Keeper::new(journal, dest)?, holds || dest.has_partials()?))
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;

    use super::*;
    use crate::transfer::confine::tests::needs_landlock;
    use crate::transfer::progress::Cause;
    use crate::transfer::testing::{deliver, file, names};

    fn plan(dest_dir: PathBuf, make_dir: bool) -> Plan {
        let state = tempfile::tempdir().unwrap();
        let (store, _) = crate::store::testing::open(state.path());
        Plan {
            dest_dir,
            make_dir,
            folder_id: [1; 16],
            terms: Terms::default(),
            sender: IdentityKey::from_bytes([1; 32]),
            id: TransferId([1; 16]),
            tops: None,
            store,
        }
    }

    #[tokio::test]
    async fn the_writing_thread_reaches_its_destination_and_nothing_else() {
        if !needs_landlock() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (dest_dir, canary) = (dir.path().join("made/dest"), dir.path().join("canary"));
        fs::write(&canary, "mine").unwrap();
        let outside = canary.clone();
        let (found_in, found) = oneshot::channel();
        let plan = plan(dest_dir.clone(), true);
        let mut writing = Writing::start_with(plan, mpsc::channel(1).1, move |dest, jobs| {
            deliver(&dest, 0, &file("a/b", b"x"), b"x").unwrap();
            dest.finish().unwrap();
            let refused = fs::write(&outside, "theirs").unwrap_err();
            found_in.send(refused.kind()).unwrap();
            (Ended::Left, jobs)
        });
        assert_eq!(found.await.unwrap(), ErrorKind::PermissionDenied);
        assert_eq!(writing.ended().await.unwrap().0, Ended::Left);
        assert_eq!(fs::read_to_string(canary).unwrap(), "mine");
        assert_eq!(names(&dest_dir), ["a"]);
        // Nobody else is confined.
        fs::write(dir.path().join("mine"), "").unwrap();
    }

    #[tokio::test]
    async fn a_destination_that_is_not_there_is_how_the_thread_ends() {
        let dir = tempfile::tempdir().unwrap();
        let plan = plan(dir.path().join("gone"), false);
        let (tell, mut told) = mpsc::channel(1);
        let mut writing = Writing::start(&plan, 1, None, mpsc::channel(1).1, tell);
        match writing.ended().await.unwrap().0 {
            Ended::Failed(fault) => {
                assert_eq!(fault.cause, Cause::Reason(Reason::DestinationGone));
            }
            other => panic!("{other:?}"),
        }
        assert!(told.try_recv().is_err(), "it is never ready");
    }
}
