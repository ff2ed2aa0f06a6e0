//! Making a model file of another quantization, with llama.cpp's own quantizer.

mod error;
mod workplace;

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

pub use self::error::{ConvertError, Quantization};
use self::workplace::Workplace;
use super::weights::Weights;
use super::{backend, file};
use crate::engine::EngineError;
use crate::engine::ffi::{self, FileType};

/// Time between two looks at how much is written.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A conversion that can begin: source, target and free space are checked.
///
/// Dropping it, or the future of [`Conversion::run`], leaves nothing behind; the file appears under its name only when all
/// of it is on disk.
#[derive(Debug)]
pub struct Conversion {
    from: PathBuf,
    to: PathBuf,
    kind: Quantization,
    workplace: Workplace,
    /// Size of the new file's weights.
    bytes: u64,
    was: String,
}

impl Conversion {
    /// Checks everything that can be checked before the work begins; takes as long as reading the source's header.
    ///
    /// # Errors
    /// Every [`ConvertError`].
    pub fn prepare(from: &Path, to: &Path, kind: Quantization) -> Result<Self, ConvertError> {
        let from = file::find(from)?;
        if to.exists() {
            return Err(ConvertError::Exists(to.into()));
        }
        backend().map_err(EngineError::Failed)?;
        let (_, weights) = Weights::read(&from).map_err(EngineError::Failed)?;
        let workplace = Workplace::beside(to)?;
        let bytes = quantize(&from, &workplace.file(), kind.file_type, true)?;
        workplace.has_room_for(bytes)?;
        Ok(Self { from, to: to.into(), kind, workplace, bytes, was: weights.main_kind().into() })
    }

    /// Size of the new file, in bytes, without its header.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What converting does to the quality of this model; nothing for one that was never quantized.
    pub fn quality(&self) -> Option<String> {
        let was = self.was.to_uppercase();
        match self.was.as_str() {
            "f32" | "f16" | "bf16" => None,
            _ => Some(match self.kind.name {
                "q8_0" | "f16" | "bf16" => format!(
                    "The source is quantized ({was}): {} keeps its quality and cannot bring back what {was} has lost.",
                    self.kind.name.to_uppercase()
                ),
                name => format!(
                    "The source is quantized already ({was}): what {} loses comes on top. A conversion from the original \
                     F16 or BF16 file is better.",
                    name.to_uppercase()
                ),
            }),
        }
    }

    /// Converts, on a thread of its own, and reports how far it is (0 to 100).
    ///
    /// # Errors
    /// [`ConvertError::Refused`], [`ConvertError::Exists`], [`ConvertError::File`].
    pub async fn run(self, mut progress: impl FnMut(u8)) -> Result<(), ConvertError> {
        let (from, part, file_type) = (self.from.clone(), self.workplace.file(), self.kind.file_type);
        let (sender, mut outcome) = oneshot::channel();
        let thread = std::thread::Builder::new().name("convert".into()).spawn(move || {
            // Nobody listens any more when the conversion was given up.
            drop(sender.send(quantize(&from, &part, file_type, false)));
        });
        thread.map_err(|error| refused(&self.from, format!("its thread did not start ({error})")))?;
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                ended = &mut outcome => {
                    ended.unwrap_or_else(|_| Err(refused(&self.from, "its thread broke off")))?;
                    break;
                }
                _ = look.tick() => progress(self.percent()),
            }
        }
        self.workplace.deliver(&self.to)?;
        progress(100);
        Ok(())
    }

    fn percent(&self) -> u8 {
        let written = fs::metadata(self.workplace.file()).map_or(0, |part| part.len());
        u8::try_from(written.min(self.bytes) * 99 / self.bytes.max(1)).unwrap_or(99)
    }
}

fn refused(file: &Path, why: impl Into<String>) -> ConvertError {
    ConvertError::Refused { file: file.into(), why: why.into() }
}

/// Runs the quantizer; gives the size of the weights that come out.
fn quantize(from: &Path, to: &Path, kind: FileType, rehearsal: bool) -> Result<u64, ConvertError> {
    let heard = Arc::new(Mutex::new(Heard::default()));
    let listener = tracing_subscriber::registry().with(Listener(Arc::clone(&heard)));
    let done = tracing::subscriber::with_default(listener, || ffi::quantize(from, to, kind, rehearsal));
    let heard = std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner));
    match (done, heard.bytes) {
        (true, Some(bytes)) => Ok(bytes),
        (true, None) => Err(refused(from, "it did not say how large the new file is")),
        (false, _) => Err(match heard.error.as_deref() {
            // All that the C++ library says about a write that failed.
            Some(why) if why.contains("iostream") => {
                refused(from, "the new file could not be written, probably because the disk is full")
            }
            why => refused(from, why.unwrap_or("it gave no reason")),
        }),
    }
}

/// The size of the new file and the reason of a failure are in llama.cpp's log only. A line is logged on the thread
/// that works, and so comes to the subscriber of that thread.
struct Listener(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    bytes: Option<u64>,
    error: Option<String>,
}

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        event.record(&mut Line { level: *event.metadata().level(), heard: &mut heard });
    }
}

struct Line<'a> {
    level: Level,
    heard: &'a mut Heard,
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, text: &str) {
        if field.name() != "message" {
            return;
        }
        if let Some(size) = text.strip_prefix("quant size  =") {
            let mebibytes = size.split_whitespace().next().and_then(|size| size.parse::<f64>().ok());
            self.heard.bytes = mebibytes.map(|size| (size * f64::from(1 << 20)) as u64);
        } else if self.level == Level::ERROR {
            let why = text.trim().strip_prefix("failed to quantize: ").unwrap_or(text.trim());
            self.heard.error = Some(why.trim_end_matches('.').into());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::model_file;

    fn q8_0() -> Quantization {
        "Q8_0".parse().unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_model_is_converted_under_its_name_only_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("new.gguf");
        let conversion = Conversion::prepare(&model_file(), &target, q8_0()).unwrap();
        let bytes = conversion.bytes();
        assert!(conversion.quality().unwrap().contains("keeps its quality"));
        let mut reports = Vec::new();

        conversion
            .run(|percent| {
                assert!(percent == 100 || !target.exists());
                reports.push(percent);
            })
            .await
            .unwrap();

        let (_, weights) = Weights::read(&target).unwrap();
        assert_eq!(weights.main_kind(), "q8_0");
        assert!(weights.bytes.abs_diff(bytes) < 1 << 14, "{} instead of {bytes}", weights.bytes);
        assert!(reports.is_sorted() && reports.last() == Some(&100), "{reports:?}");
        assert_eq!(names(folder.path()), ["new.gguf"]);
    }

    #[tokio::test]
    async fn a_conversion_that_is_given_up_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let conversion = Conversion::prepare(&model_file(), &folder.path().join("new.gguf"), q8_0()).unwrap();
        let mut conversion = Box::pin(conversion.run(|_| {}));

        // Until its thread works and the first report is made.
        assert!(futures::poll!(&mut conversion).is_pending());
        drop(conversion);

        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn nothing_is_overwritten_and_two_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("new.gguf");
        let prepare = || Conversion::prepare(&model_file(), &target, q8_0());

        let first = prepare().unwrap();
        assert!(matches!(prepare(), Err(ConvertError::Busy(_))));
        drop(first);
        fs::write(&target, "mine").unwrap();

        assert!(matches!(prepare(), Err(ConvertError::Exists(_))));
        assert_eq!(fs::read(&target).unwrap(), b"mine");
    }

    #[test]
    fn a_damaged_source_is_named_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("half.gguf");
        let whole = fs::read(model_file()).unwrap();
        fs::write(&source, &whole[..whole.len() / 2]).unwrap();

        let error = Conversion::prepare(&source, &folder.path().join("new.gguf"), q8_0()).unwrap_err();

        assert!(error.to_string().contains("half.gguf"), "{error}");
        assert_eq!(names(folder.path()), ["half.gguf"]);
    }
}
