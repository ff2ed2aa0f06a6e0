//! `fireside model …`

use std::error::Error;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use fireside::config::LlmConfig;
use fireside::engine::{Conversion, EngineError, ModelInfo, Quantization, find_model};
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of `model path` when no model is configured and none lies in `models/`.
const NO_MODEL: u8 = 3;

/// Percent between two reports where nobody watches a terminal.
const STEP: u8 = 10;

#[derive(Subcommand)]
pub enum ModelCommand {
    /// Print the GGUF file that the server would load; exit code 3 when there is none to choose.
    Path,
    /// Describe a model and the memory that it needs as configured.
    Info {
        /// The GGUF file; without one, that of the server.
        file: Option<PathBuf>,
    },
    /// Write a copy of a model with another quantization, with llama.cpp's own quantizer.
    Convert {
        /// The GGUF file to read, best the original in F16 or BF16.
        from: PathBuf,
        /// The GGUF file to write; it must not exist yet.
        to: PathBuf,
        /// q8_0, q6_k, q5_k_m, q4_k_m, q4_k_s, q4_0, iq4_nl, q3_k_m, f16 or bf16.
        #[arg(long = "type", default_value = "q8_0")]
        kind: String,
    },
}

pub async fn run(command: ModelCommand, config: &LlmConfig) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        ModelCommand::Path => match find_model(config) {
            Ok(path) => println!("{}", path.display()),
            Err(EngineError::NoModel(_)) => return Ok(ExitCode::from(NO_MODEL)),
            Err(error) => return Err(error.into()),
        },
        ModelCommand::Info { file } => {
            let config = LlmConfig { model: file.unwrap_or_else(|| config.model.clone()), ..config.clone() };
            let info = ModelInfo::read(&find_model(&config)?, &config)?;
            println!("{info}\nMemory, as configured\n{}", info.memory());
        }
        ModelCommand::Convert { from, to, kind } => convert(&from, &to, &kind).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn convert(from: &Path, to: &Path, kind: &str) -> Result<(), Box<dyn Error>> {
    // Before anything is written: from here on the signals end this function and not the process.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let conversion = Conversion::prepare(from, to, kind.parse::<Quantization>()?)?;
    if let Some(quality) = conversion.quality() {
        eprintln!("{quality}");
    }
    eprintln!("{} becomes {}, {} MiB.", from.display(), to.display(), conversion.bytes() >> 20);
    tokio::select! {
        ended = conversion.run(report()) => ended?,
        _ = interrupt.recv() => return Err("Stopped; nothing was written.".into()),
        _ = terminate.recv() => return Err("Stopped; nothing was written.".into()),
    }
    println!("{}", to.display());
    Ok(())
}

/// Shows how far it is: in place on a terminal, in a few lines elsewhere.
fn report() -> impl FnMut(u8) {
    let in_place = std::io::stderr().is_terminal();
    let mut next = 0;
    move |percent| {
        if in_place {
            eprint!("\r{percent:3} %{}", if percent == 100 { "\n" } else { "" });
        } else if percent >= next {
            eprintln!("{percent:3} %");
            next = percent / STEP * STEP + STEP;
        }
    }
}
