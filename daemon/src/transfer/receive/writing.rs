//! The thread that writes what one transfer receives: its start, its confinement and its end.
//!
//! It is a thread of its own, not one of a pool, for it is confined to the destination and that cannot
//! be taken back (see [`confine`](crate::transfer::confine)). It opens all files of the transfer and it
//! ends with the transfer.

use std::path::PathBuf;
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use super::writer::{self, Written};
use crate::transfer::FolderId;
use crate::transfer::dest::Destination;
use crate::transfer::progress::Fault;
use crate::transfer::proto::Reason;

/// The name of the writing threads.
const NAME: &str = "ff-writer";

/// Where a transfer arrives.
#[derive(Debug)]
pub(super) struct Where {
    pub(super) dest_dir: PathBuf,
    /// Whether the folder is made when it does not exist.
    pub(super) make_dir: bool,
    pub(super) folder_id: FolderId,
}

/// A running writing thread. Dropped, it leaves the thread to end by itself, as it does when nobody
/// has jobs for it any more.
#[derive(Debug)]
pub(super) struct Writing(Option<JoinHandle<()>>);

impl Writing {
    /// Starts the thread: it opens the destination, confines itself to it, and does `work`. That it
    /// could not do so is told as [`Written::Failed`].
    pub(super) fn start(
        place: Where,
        tell: mpsc::Sender<Written>,
        work: impl FnOnce(Destination, &mpsc::Sender<Written>) + Send + 'static,
    ) -> Self {
        let told_otherwise = tell.clone();
        let thread = move || match open(&place) {
            Ok(dest) => work(dest, &tell),
            Err(fault) => {
                // The task may be gone already; then nobody needs to be told.
                let _ = tell.blocking_send(Written::Failed(fault));
            }
        };
        match std::thread::Builder::new().name(NAME.to_owned()).spawn(thread) {
            Ok(running) => Self(Some(running)),
            Err(error) => {
                let fault = Fault::reason(Reason::Io, format!("no thread to write with: {error}"));
                told_otherwise.try_send(Written::Failed(fault)).expect("nothing was told yet");
                Self(None)
            }
        }
    }

    /// Waits until the thread has ended.
    pub(super) async fn ended(self) {
        let Some(running) = self.0 else { return };
        let joined = tokio::task::spawn_blocking(move || running.join());
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("the writing thread of a transfer ended badly");
        }
    }
}

fn open(place: &Where) -> Result<Destination, Fault> {
    if place.make_dir
        && let Err(error) = std::fs::create_dir_all(&place.dest_dir)
    {
        // What is wrong with it is said when it is opened.
        tracing::warn!(%error, "cannot make the folder for received files");
    }
    Destination::create_confined(&place.dest_dir, place.folder_id)
        .map_err(|error| writer::fault_of(&error))
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

    #[tokio::test]
    async fn the_writing_thread_reaches_its_destination_and_nothing_else() {
        if !needs_landlock() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (dest_dir, canary) = (dir.path().join("made/dest"), dir.path().join("canary"));
        fs::write(&canary, "mine").unwrap();
        let place = Where { dest_dir: dest_dir.clone(), make_dir: true, folder_id: [1; 16] };
        let (tell, _told) = mpsc::channel(1);
        let outside = canary.clone();
        let (found_in, found) = tokio::sync::oneshot::channel();
        let writing = Writing::start(place, tell, move |dest, _| {
            deliver(&dest, 0, &file("a/b", b"x"), b"x").unwrap();
            dest.finish().unwrap();
            let refused = fs::write(&outside, "theirs").unwrap_err();
            found_in.send(refused.kind()).unwrap();
        });
        assert_eq!(found.await.unwrap(), ErrorKind::PermissionDenied);
        writing.ended().await;
        assert_eq!(fs::read_to_string(canary).unwrap(), "mine");
        assert_eq!(names(&dest_dir), ["a"]);
        // Nobody else is confined.
        fs::write(dir.path().join("mine"), "").unwrap();
    }

    #[tokio::test]
    async fn a_destination_that_is_not_there_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let place =
            Where { dest_dir: dir.path().join("gone"), make_dir: false, folder_id: [1; 16] };
        let (tell, mut told) = mpsc::channel(1);
        let writing = Writing::start(place, tell, |_, _| panic!("there is nowhere to write"));
        match told.recv().await {
            Some(Written::Failed(fault)) => {
                assert_eq!(fault.cause, Cause::Reason(Reason::DestinationGone));
            }
            other => panic!("{other:?}"),
        }
        writing.ended().await;
    }
}
