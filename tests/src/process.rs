//! A child process with its output kept, ended by its own pid.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// How long anything in a test may take before the test fails with what was seen.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The binary `name`, built beside this test.
///
/// # Panics
/// Where it has not been built: `make test` builds it first.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("a test has an executable");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.push(name);
    assert!(
        path.is_file(),
        "{} is not built: run `make test`, which builds it first",
        path.display()
    );
    path
}

/// A running child.
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts `command`, keeping every line of both its outputs.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        let output = Arc::new(Mutex::new(Vec::new()));
        let streams: [Option<Box<dyn std::io::Read + Send>>; 2] = [
            child.stdout.take().map(|s| Box::new(s) as _),
            child.stderr.take().map(|s| Box::new(s) as _),
        ];
        for stream in streams.into_iter().flatten() {
            let output = Arc::clone(&output);
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    output.lock().expect("no holder panics").push(line);
                }
            });
        }
        Self {
            name: name.to_owned(),
            child,
            output,
        }
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Every line so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.lock().expect("no holder panics").join("\n")
    }

    /// The first line that `pick` takes, now or later.
    ///
    /// # Panics
    /// Where none comes within [`PATIENCE`], or the process ends first.
    pub fn wait_for<T>(&mut self, what: &str, mut pick: impl FnMut(&str) -> Option<T>) -> T {
        let mut seen = 0;
        self.until(what, |me| {
            let lines = me.output.lock().expect("no holder panics");
            let found = lines[seen..].iter().find_map(|l| pick(l));
            seen = lines.len();
            found
        })
    }

    /// Polls `look` until it finds something.
    ///
    /// # Panics
    /// Where it does not within [`PATIENCE`], or the process ends first.
    pub fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = self.child.try_wait().expect("our own child");
            if let Some(found) = look(self) {
                return found;
            }
            if let Some(status) = ended {
                // What it said last may still be on its way through the pipe.
                std::thread::sleep(Duration::from_millis(100));
                if let Some(found) = look(self) {
                    return found;
                }
                panic!(
                    "{} ended ({status}) before {what}:\n{}",
                    self.name,
                    self.output()
                );
            }
            assert!(
                Instant::now() < deadline,
                "{}: no {what} within {PATIENCE:?}:\n{}",
                self.name,
                self.output()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends `signal`.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("not zero");
        // Ignored: it may have ended by itself.
        let _ = rustix::process::kill_process(pid, signal);
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// Where it does not end within [`PATIENCE`].
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{} did not end within {PATIENCE:?}:\n{}",
                self.name,
                self.output()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_none()
    }

    /// SIGTERM, then waits: a clean end.
    ///
    /// # Panics
    /// Where it ends with another code than 0.
    pub fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert!(
            status.success(),
            "{} ended with {status}:\n{}",
            self.name,
            self.output()
        );
        self.output()
    }

    /// SIGKILL, then waits.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_alive() {
            self.signal(Signal::CONT);
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Polls `look` until it finds something, however long the machine needs up to [`PATIENCE`].
///
/// # Panics
/// Where it does not.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "no {what} within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A loopback port that was free a moment ago, for programs that cannot take port 0.
///
/// Below the range from which the system takes ports for connections and for port 0, so that neither takes it in the
/// meantime; and each is given out once.
///
/// # Panics
/// Where the machine has none.
#[must_use]
pub fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    (0..COUNT)
        .find_map(|_| {
            // Test programs that run side by side start at places of their own.
            let place = std::process::id()
                .wrapping_mul(257)
                .wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
            let port = u16::try_from(FIRST + place % COUNT).expect("within a port's range");
            std::net::TcpListener::bind(("127.0.0.1", port))
                .is_ok()
                .then_some(port)
        })
        .expect("a free port")
}
