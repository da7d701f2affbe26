//! Child processes that end with their handle, whatever happens to the test.
//!
//! Each child is started by a small shell, the guard, which reads from a pipe that only this
//! process holds open. The pipe closes when the handle is dropped and also when this process dies,
//! be it by SIGKILL; then the guard kills the child. This takes neither unsafe code nor a prctl
//! call that exists on one system only.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process, kill_process_group, test_kill_process};
use tokio::sync::watch;

use crate::{Error, Result};

/// - Standard input of a background command is /dev/null in a shell, so the pipe goes through
///   descriptor 3, which the child must not see.
/// - The main shell reaps the child and reports its exit code; the second one waits for the end of
///   the pipe. It never reads a line: nobody writes into the pipe.
/// - SIGPIPE is ignored once the child runs: when the test is dead there is nobody to report to,
///   and what the child left behind has to be killed all the same.
/// - The last line ends the whole process group: whatever the child started, and the guard itself.
const GUARD: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- >&2 &
child=$!
trap '' PIPE
echo "$child"
( while read -r line; do :; done; kill -KILL "$child" ) <&3 >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$child"
code=$?
{ kill -KILL "$watcher"; wait "$watcher"; } 2>/dev/null
echo "$code" 2>/dev/null
kill -KILL 0
"#;

/// How long the guard may take to start, and a killed child to end.
const GUARD_DEADLINE: Duration = Duration::from_secs(20);

/// As much of a log as is worth reading for its tail.
const TAIL_BYTES: u64 = 64 * 1024;

/// What to start.
#[derive(Debug, Clone)]
pub struct SpawnOptions {
    /// Name for messages.
    pub name: String,
    /// The program: a path, or a name to be found in `PATH`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment, but for `PATH`, which is passed on unless given here.
    pub env: Vec<(OsString, OsString)>,
    /// File that standard output and standard error are appended to.
    pub log: PathBuf,
}

/// A running child process; dropping it kills the child and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    pid: Pid,
    /// Our end of the guard's pipe: its closing is what kills.
    pipe: Mutex<Option<ChildStdin>>,
    exit: watch::Receiver<Option<i32>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts a program.
    ///
    /// A program that does not exist ends at once with exit code 127 and a line in the log.
    pub fn spawn(options: SpawnOptions) -> Result<Self> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&options.log)
            .map_err(Error::file("open", &options.log))?;
        let mut guard = guard_command(&options, log)
            .spawn()
            .map_err(|source| Error::io(format!("cannot start {}", options.name), source))?;
        let pipe = guard.stdin.take();
        let Some(stdout) = guard.stdout.take() else {
            return Err(Error::Setup(format!("{}: no output pipe", options.name)));
        };

        let (pid_sender, pid_receiver) = mpsc::channel();
        let (exit_sender, exit) = watch::channel(None);
        let reader = std::thread::spawn(move || follow_guard(guard, stdout, &pid_sender, &exit_sender));
        let Ok(pid) = pid_receiver.recv_timeout(GUARD_DEADLINE) else {
            return Err(Error::Process {
                what: "did not start".to_owned(),
                log: tail(&options.log, 20),
                name: options.name,
            });
        };
        Ok(Self { name: options.name, log: options.log, pid, pipe: Mutex::new(pipe), exit, reader: Some(reader) })
    }

    /// Name for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Process id of the program itself (not of its guard).
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The file that holds the program's output.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if !self.is_running() {
            return Err(self.error(&format!("has ended, no {signal:?} can be sent")));
        }
        kill_process(self.pid, signal).map_err(|errno| Error::io(format!("cannot signal {}", self.name), errno.into()))
    }

    /// Kills with SIGKILL and waits until the program is gone.
    pub async fn kill(&self) -> Result<()> {
        self.close_pipe();
        match self.wait(GUARD_DEADLINE).await {
            Some(_) => Ok(()),
            None => Err(self.error("does not end although it was killed")),
        }
    }

    /// Waits for the end, at most for `deadline`.
    ///
    /// Gives the exit code, or as shells do 128 + n if signal n ended the program.
    pub async fn wait(&self, deadline: Duration) -> Option<i32> {
        let mut exit = self.exit.clone();
        let ended = tokio::time::timeout(deadline, exit.wait_for(Option::is_some));
        ended.await.ok()?.ok().and_then(|code| *code)
    }

    /// The last `lines` lines of the log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log, lines)
    }

    /// An error about this process that carries the end of its log.
    #[must_use]
    pub fn error(&self, what: &str) -> Error {
        Error::Process { name: self.name.clone(), what: what.to_owned(), log: self.log_tail(20) }
    }

    /// An error if the program has ended: for use while waiting for it to become ready.
    pub fn check_running(&self) -> Result<()> {
        match *self.exit.borrow() {
            None => Ok(()),
            Some(code) => Err(self.error(&format!("ended with exit code {code}"))),
        }
    }

    fn close_pipe(&self) {
        drop(self.pipe.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.close_pipe();
        // Blocks for some milliseconds, so that nothing survives and ports are free again.
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn guard_command(options: &SpawnOptions, log: File) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", GUARD, "guard"])
        .arg(&options.program)
        .args(&options.args)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs(options.env.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        // A group of its own: Ctrl-C in a terminal then reaches the test only, and the group can
        // be killed as a whole.
        .process_group(0);
    command
}

/// Runs in a thread of its own: passes on what the guard reports, and reaps it.
fn follow_guard(mut guard: Child, stdout: ChildStdout, pid: &mpsc::Sender<Pid>, exit: &watch::Sender<Option<i32>>) {
    let mut lines = BufReader::new(stdout).lines();
    let mut next_number = || lines.next()?.ok()?.trim().parse::<i32>().ok();
    if let Some(child) = next_number().and_then(Pid::from_raw) {
        let _ = pid.send(child);
    }
    let code = next_number();
    // If the guard itself was killed it could not clean up. Until it is reaped its process id,
    // which is that of the group, cannot be used again.
    if let Some(group) = i32::try_from(guard.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = guard.wait();
    exit.send_replace(Some(code.unwrap_or(128 + Signal::KILL.as_raw())));
}

/// Whether a process of that id exists, be it a dead one that its parent has not yet reaped.
#[must_use]
pub fn process_exists(pid: u32) -> bool {
    i32::try_from(pid).ok().and_then(Pid::from_raw).is_some_and(|pid| test_kill_process(pid).is_ok())
}

pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let all: Vec<&str> = text.lines().collect();
            all[all.len().saturating_sub(lines)..].join("\n")
        }
        Err(error) => format!("({} cannot be read: {error})", path.display()),
    }
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
