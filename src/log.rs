//! The log: what may stand in it, and how a line of it looks.

use std::io::{self, IsTerminal, Write};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, fmt};

/// `RUST_LOG` chooses what is logged, but for what [`tells_no_secret`] holds back.
pub fn to_stderr() {
    let chosen = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,llama-cpp-2=error,sqlx=warn"));
    let layer = fmt::layer().with_writer(|| Lines(io::stderr())).with_ansi(io::stderr().is_terminal());
    tracing_subscriber::registry()
        .with(layer.with_filter(chosen).with_filter(filter_fn(tells_no_secret)))
        .init();
}

/// Whether an event may be logged at all. Below INFO, libraries print what they carry: headers with keys and cookies, values of
/// statements, texts. Rocket prints a request's query, with the words of a search, at INFO already. What we log ourselves is
/// written with that in mind.
fn tells_no_secret(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let at_most = match target.split("::").next() {
        Some("fireside") => Level::TRACE,
        Some("rocket") => Level::ERROR,
        _ => Level::INFO,
    };
    *metadata.level() <= at_most && !target.ends_with("::_")
}

/// A panic is logged by its place only: its message may quote what somebody wrote.
pub fn panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        if let Some(why) = no_more_threads(panic) {
            tracing::error!(
                place,
                "the system gives no more threads or memory ({why}): raise its limits for this program (ulimit -u, ulimit -v)"
            );
            return;
        }
        tracing::error!(place, thread, "a thread broke off; this is a defect, please report it");
    }));
}

/// What the runtime says where it can start no thread; nobody else's words are in it.
fn no_more_threads(panic: &std::panic::PanicHookInfo<'_>) -> Option<String> {
    let message = panic.payload_as_str()?;
    message.strip_prefix("OS can't spawn worker thread: ").map(str::to_owned)
}

/// Writes each event as one line: a line break inside it, which somebody may have sent, is shown and not obeyed.
/// The subscriber writes an event at once, and escapes other control characters itself.
struct Lines<W>(W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let (line, end) = match event.strip_suffix(b"\n") {
            Some(line) => (line, "\n"),
            None => (event, ""),
        };
        let line = String::from_utf8_lossy(line).replace('\n', "\\n").replace('\r', "\\r");
        self.0.write_all(format!("{line}{end}").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
