//! A neighbour on Bob's machine who may write in his destination: he swaps folders for links that lead
//! outside while transfers are written into them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{
    speaker::{Speaker, file, folder},
    support::Scene,
};
use crate::transfer::proto::Message;

/// So many files must have met a link in their way.
const REFUSALS: u64 = 20;
/// Transfers after which the race is given up as one that does not happen.
const MAX_TRANSFERS: u64 = 500;

/// Swaps every folder that appears in a tree with a link, and back, until dropped.
struct Neighbour {
    stop: Arc<AtomicBool>,
    tree: Arc<Mutex<PathBuf>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Neighbour {
    fn start(decoy: PathBuf) -> Self {
        let (stop, tree) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<PathBuf>>::default());
        let (stopped, attacked) = (stop.clone(), tree.clone());
        let thread = move || {
            while !stopped.load(Ordering::Relaxed) {
                let tree = attacked.lock().unwrap().clone();
                folders(&tree, 2).iter().for_each(|folder| swap_and_back(folder, &decoy));
            }
        };
        Self { stop, tree, thread: Some(std::thread::spawn(thread)) }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let joined = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(joined.is_none_or(|joined| joined.is_ok()) || std::thread::panicking());
    }
}

/// The folders below `dir`, down to a depth.
fn folders(dir: &Path, depth: usize) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // What is swapped or removed meanwhile is met next time.
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if depth > 1 {
                found.extend(folders(&entry.path(), depth - 1));
            }
            found.push(entry.path());
        }
    }
    found
}

/// Each name always stands for something: the swap is atomic.
fn swap_and_back(folder: &Path, decoy: &Path) {
    let swap = || renameat_with(CWD, folder, CWD, decoy, RenameFlags::EXCHANGE);
    if swap().is_err() {
        return;
    }
    std::thread::yield_now();
    // The link was removed meanwhile, or what it lay in.
    if swap().is_err() {
        fs::rename(decoy, folder).or_else(|_| fs::remove_dir_all(decoy)).unwrap();
        plant_link(decoy);
    }
}

/// The link that takes the places of folders: it leads to what nobody may touch.
fn plant_link(decoy: &Path) {
    std::os::unix::fs::symlink(decoy.with_file_name("outside"), decoy).unwrap();
}

/// Sends a tree of small files, one pack after the other, and gives what Bob says to the end.
async fn send_tree(speaker: &mut Speaker, top: &str) -> Vec<Message> {
    let names: Vec<_> = (0..48).map(|n| format!("{top}/{}/deep/{n}", n % 3)).collect();
    for (number, names) in names.chunks(4).enumerate() {
        let first = number as u64 * 4;
        let files: Vec<_> =
            names.iter().zip(first..).map(|(name, index)| file(index, name, b"theirs")).collect();
        speaker.pack(number as u64, &files).await;
    }
    speaker.pack(99, &[folder(48, &format!("{top}/0")), folder(49, top)]).await;
    speaker.finish(50).await;
    let is_last =
        |message: &Message| matches!(message, Message::Complete { .. } | Message::Cancel { .. });
    speaker.hear_until(is_last).await
}

#[tokio::test]
async fn folders_swapped_for_links_while_transfers_are_written_lead_nowhere() {
    let mut scene = Scene::with_trusted_mallory().await;
    let decoy = scene.bob.outside().with_file_name("decoy");
    plant_link(&decoy);
    let neighbour = Neighbour::start(decoy.clone());
    let mut speaker = Speaker::accepted(&mut scene.mallory).await;
    let (mut complete, mut refused, mut transfers) = (0, 0, 0);
    while refused < REFUSALS || complete == 0 {
        transfers += 1;
        assert!(transfers < MAX_TRANSFERS, "the race did not happen: {refused} {complete}");
        let top = format!("tree {transfers}");
        *neighbour.tree.lock().unwrap() = scene.bob.received().join(&top);
        for message in send_tree(&mut speaker, &top).await {
            match message {
                Message::Complete { .. } => complete += 1,
                Message::FileFailed { .. } | Message::Cancel { .. } => refused += 1,
                _ => {}
            }
        }
        assert_eq!(fs::read_dir(scene.bob.outside()).unwrap().count(), 1);
        speaker.ask().await;
    }
    drop(neighbour);
    fs::remove_file(decoy).unwrap();
    scene.finish_untouched_outside().await;
}
