//! A small file system in memory, in a mount namespace of its own that outlives the daemons in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;

use super::program::wrapped;
use super::{Program, Scratch};

/// It goes with the namespace, and that with the program that holds it.
pub(crate) struct Disk {
    holder: Program,
    dir: Scratch,
}

impl Disk {
    /// Mounts one with these options of tmpfs.
    pub(crate) fn new(options: &str) -> Self {
        Self::of_kind("tmpfs", options)
    }

    /// Mounts one of another kind.
    pub(crate) fn of_kind(kind: &str, options: &str) -> Self {
        let dir = Scratch::new();
        let script =
            r#"mount -t "$3" -o "$1" filefleet-e2e "$2" && echo up && exec tail -f /dev/null"#;
        let as_root: &[&str] = if geteuid().is_root() { &[] } else { &["--map-root-user"] };
        let mut command = Command::new("unshare");
        command.arg("--mount").args(as_root).args(["sh", "-c", script, "sh", options]);
        let mut holder = Program::start(command.arg(dir.path()).arg(kind));
        assert_eq!(holder.line().as_deref(), Some("up"));
        Self { holder, dir }
    }

    /// Where it is, for programs in the namespace.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where it is, for everybody else.
    pub(crate) fn seen_from_outside(&self) -> PathBuf {
        let root = format!("/proc/{}/root", self.holder.pid());
        Path::new(&root).join(self.dir().strip_prefix("/").unwrap())
    }

    /// Writes a file that leaves so many bytes free.
    pub(crate) fn fill(&self, free: u64) -> PathBuf {
        let filler = self.seen_from_outside().join("filler");
        let stat = rustix::fs::statvfs(self.seen_from_outside()).unwrap();
        let len = (stat.f_bavail * stat.f_frsize).checked_sub(free).unwrap();
        super::write_random(&filler, len);
        filler
    }

    /// The same command, run in the namespace.
    pub(crate) fn within(&self, command: &Command) -> Command {
        let pid = self.holder.pid().to_string();
        let user: &[&str] =
            if geteuid().is_root() { &[] } else { &["--user", "--preserve-credentials"] };
        wrapped(&[&["nsenter", "--mount", "--target", &pid], user].concat(), command)
    }

    /// What lies on it, hidden or not, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        super::names_in(&self.seen_from_outside())
    }

    /// What lies on it as `name` is like `source`.
    #[track_caller]
    pub(crate) fn holds(&self, name: &str, source: &Path) {
        let received = self.seen_from_outside().join(name);
        assert_eq!(super::Tree::read(&received), super::Tree::read(source));
    }
}
