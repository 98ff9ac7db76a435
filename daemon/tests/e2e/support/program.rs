//! A program under test: what it prints, line by line as it comes, the signals it is sent, its end.

use std::env::consts::EXE_SUFFIX;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a test waits for an event before it fails: far longer than anything takes, even on a
/// machine with other work. Wine carries some megabytes in a second.
pub(crate) const PATIENCE: Duration = Duration::from_secs(if cfg!(windows) { 300 } else { 60 });

/// What makes a program end with the thread that started it, even if the whole test program is
/// killed. Other systems have nothing of the kind.
const BOUND: &[&str] =
    if cfg!(target_os = "linux") { &["setpriv", "--pdeathsig", "KILL"] } else { &[] };

/// How a program ends that is killed: on Windows the killer chooses an exit code.
const KILLED: Option<i32> = if cfg!(windows) { Some(1) } else { None };

/// The program `name`: it is built into the folder above the one of this test.
pub(crate) fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let found = own.ancestors().nth(2).unwrap_or(Path::new(""));
    let found = found.join(format!("{name}{EXE_SUFFIX}"));
    let missing = found.display();
    assert!(found.is_file(), "{missing} is missing: cargo build --workspace --bins");
    found
}

/// A running program. Dropping it kills it; if the test fails, what it said is shown.
pub(crate) struct Program {
    what: String,
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    #[expect(dead_code, reason = "shown when a test fails")]
    what: String,
    /// `None` if a signal ended it.
    pub(crate) exit_code: Option<i32>,
    /// The lines that had not been read before.
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: String,
}

impl Program {
    pub(crate) fn start(command: &Command) -> Self {
        let mut bound = wrapped(BOUND, command);
        bound.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = bound.spawn().expect("it, and setpriv (of util-linux), can be run");
        Self {
            what: format!("{command:?}"),
            stdout: Lines::of(child.stdout.take().unwrap()),
            stderr: Lines::of(child.stderr.take().unwrap()),
            child,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its standard output; `None` once that is closed.
    #[track_caller]
    pub(crate) fn line(&mut self) -> Option<String> {
        self.line_within(PATIENCE)
    }

    /// The same, when the product promises a time.
    #[track_caller]
    pub(crate) fn line_within(&mut self, time: Duration) -> Option<String> {
        match self.stdout.next(time) {
            Ok(line) => line,
            Err(TimedOut) => panic!("{}: nothing on standard output in {time:?}", self.what),
        }
    }

    /// Waits until it says something that contains `text` on its standard error.
    #[track_caller]
    pub(crate) fn says(&mut self, text: &str) {
        loop {
            match self.stderr.next(PATIENCE) {
                Ok(Some(line)) if line.contains(text) => return,
                Ok(Some(_)) => {}
                Ok(None) => panic!("{} ended without saying {text:?}", self.what),
                Err(TimedOut) => panic!("{} does not say {text:?}", self.what),
            }
        }
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended.
    #[track_caller]
    pub(crate) fn end(mut self) -> Outcome {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        for (lines, rest) in [(&mut self.stdout, &mut stdout), (&mut self.stderr, &mut stderr)] {
            loop {
                match lines.next(PATIENCE) {
                    Ok(Some(line)) => rest.push(line),
                    Ok(None) => break,
                    Err(TimedOut) => panic!("{} does not end", self.what),
                }
            }
        }
        Outcome {
            what: self.what.clone(),
            exit_code: self.child.wait().unwrap().code(),
            stdout,
            stderr: stderr.join("\n"),
        }
    }

    /// Ends it without warning.
    #[track_caller]
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        assert_eq!(self.end().exit_code, KILLED);
    }

    /// Sends a signal and waits for the end that it must bring.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn end_by(self, signal: Signal) -> Outcome {
        self.signal(signal);
        self.end()
    }
}

impl Drop for Program {
    #[allow(clippy::print_stderr, reason = "the test harness shows it if the test fails")]
    fn drop(&mut self) {
        // It may have ended already, and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = self.stderr.all().join("\n");
            eprintln!("--- {} said:\n{said}", self.what);
        }
    }
}

impl Outcome {
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.exit_code, Some(0), "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn failed(self, exit_code: i32) -> Self {
        assert_eq!(self.exit_code, Some(exit_code), "{self:#?}");
        self
    }

    /// What the user was told contains `text`.
    #[track_caller]
    pub(crate) fn told(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no {text:?} in {self:#?}");
        self
    }

    /// The one value that was printed.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.len(), 1, "{self:#?}");
        parse(&self.stdout[0])
    }

    /// What was printed last.
    #[track_caller]
    pub(crate) fn last(&self) -> Value {
        let last = self.stdout.last();
        parse(last.unwrap_or_else(|| panic!("nothing printed: {self:#?}")))
    }
}

/// The same command, run by another program, if one is named, that becomes it.
pub(super) fn wrapped(by: &[&str], command: &Command) -> Command {
    let by = by.iter().map(OsStr::new);
    let mut whole = by.chain([command.get_program()]).chain(command.get_args());
    let mut wrapped = Command::new(whole.next().expect("a command has a program"));
    wrapped.args(whole);
    wrapped.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    if let Some(dir) = command.get_current_dir() {
        wrapped.current_dir(dir);
    }
    wrapped
}

/// A line of `--json`.
#[track_caller]
pub(super) fn parse(line: &str) -> Value {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line:?}"));
    assert_eq!(value["schema_version"], 1, "{line}");
    value
}

/// The lines of a stream, read by a thread that ends with it.
struct Lines {
    /// Unbounded, so that a program never waits for its test.
    incoming: Receiver<String>,
    seen: Vec<String>,
}

struct TimedOut;

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, incoming) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        let seen = Vec::new();
        Self { incoming, seen }
    }

    fn next(&mut self, time: Duration) -> Result<Option<String>, TimedOut> {
        match self.incoming.recv_timeout(time) {
            Ok(line) => {
                self.seen.push(line.clone());
                Ok(Some(line))
            }
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(TimedOut),
        }
    }

    /// Everything, after the program's end.
    fn all(&mut self) -> &[String] {
        self.seen.extend(self.incoming.iter());
        &self.seen
    }
}
