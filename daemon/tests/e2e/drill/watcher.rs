//! Looks at whatever gets a real name, in the moment in which it gets it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use crate::support::hash_of;

/// What names have that are not real.
const PARTIAL: &[u8] = b".filefleet-partial-";
/// Made to end the watching.
const END: &str = ".end of the drill";

pub(super) struct Watcher {
    content: Content,
    thread: JoinHandle<()>,
}

/// What must be in a file: what is in the one that was sent.
#[derive(Clone)]
struct Content {
    received: PathBuf,
    sent: PathBuf,
}

impl Watcher {
    /// Watches everything below `received`, which must be like what lies below `sent`.
    pub(super) fn start(received: &Path, sent: &Path) -> Self {
        let content = Content { received: received.to_owned(), sent: sent.to_owned() };
        let watching = Watching::new(content.clone());
        let thread = std::thread::spawn(move || watching.run());
        Self { content, thread }
    }

    /// Looks at everything that is there.
    #[track_caller]
    pub(super) fn check_all(&self) {
        self.content.check_below(&self.content.received);
    }

    /// Ends the watching; fails if anything was wrong.
    #[track_caller]
    pub(super) fn finish(self) {
        let end = self.content.received.join(END);
        File::create_new(&end).unwrap();
        let watched = self.thread.join();
        fs::remove_file(end).unwrap();
        assert!(watched.is_ok(), "something under its real name was wrong");
    }
}

impl Content {
    fn check_below(&self, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let file_path = entry.unwrap().path();
            if is_real(file_path.file_name().unwrap()) {
                self.check(&file_path);
                if is_folder(&file_path) {
                    self.check_below(&file_path);
                }
            }
        }
    }

    fn check(&self, file_path: &Path) {
        let sent = self.sent.join(file_path.strip_prefix(&self.received).unwrap());
        let (here, there) = (file_path.symlink_metadata(), sent.symlink_metadata());
        let here = here.unwrap().file_type();
        let there = there.unwrap_or_else(|_| panic!("{file_path:?} was never sent")).file_type();
        assert_eq!(here, there, "{file_path:?}");
        if here.is_symlink() {
            assert_eq!(fs::read_link(file_path).unwrap(), fs::read_link(sent).unwrap());
        } else if here.is_file() {
            assert_eq!(hash_of(file_path), hash_of(&sent), "{file_path:?}");
        }
    }
}

/// The thread's side.
struct Watching {
    content: Content,
    inotify: OwnedFd,
    folders: HashMap<i32, PathBuf>,
}

impl Watching {
    fn new(content: Content) -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC).unwrap();
        let mut watching = Self { content, inotify, folders: HashMap::new() };
        let received = watching.content.received.clone();
        watching.add(&received);
        watching
    }

    /// Watches a folder, and looks at what is there already.
    fn add(&mut self, dir: &Path) {
        // `MODIFY`: what has its real name is not written to any more.
        let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::MODIFY;
        let wd = inotify::add_watch(&self.inotify, dir, flags).unwrap();
        self.folders.insert(wd, dir.to_owned());
        for entry in fs::read_dir(dir).unwrap() {
            self.appeared(&entry.unwrap().path());
        }
    }

    fn appeared(&mut self, file_path: &Path) {
        if !is_real(file_path.file_name().unwrap()) {
            return;
        }
        self.content.check(file_path);
        if is_folder(file_path) {
            self.add(file_path);
        }
    }

    fn run(mut self) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(self.inotify.try_clone().unwrap(), &mut buffer);
        loop {
            let event = reader.next().unwrap();
            let dir = self.folders.get(&event.wd()).expect("no event was lost, no folder removed");
            // Of the folder itself.
            let Some(name) = event.file_name() else { continue };
            let file_path = dir.join(OsStr::from_bytes(name.to_bytes()));
            if file_path.ends_with(END) {
                return;
            }
            // A folder's time is given to it where it is.
            let was_written = event.events().contains(ReadFlags::MODIFY)
                && !event.events().contains(ReadFlags::ISDIR);
            assert!(!was_written, "{file_path:?} was written to under its real name");
            self.appeared(&file_path);
        }
    }
}

fn is_real(name: &OsStr) -> bool {
    !name.as_bytes().starts_with(PARTIAL) && name != END
}

fn is_folder(file_path: &Path) -> bool {
    file_path.symlink_metadata().unwrap().is_dir()
}
