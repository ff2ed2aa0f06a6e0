//! Compares Fireside with any OpenAI-compatible server on this machine; `benches/README.md` says how.

mod client;
mod contestant;
mod fireside;
mod process;
mod report;
mod scenarios;
mod sse;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use contestant::Contestant;
use report::Measured;
use scenarios::Scenario;
use text::Text;

/// What a step of the benchmark gives; an error is a sentence for whoever runs it.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Compares Fireside with any OpenAI-compatible server, scenario by scenario, in alternation.
#[derive(Parser)]
struct Arguments {
    /// The other server, as a command without quotes; {model} and {port} are replaced. It must answer GET /health with
    /// 200 once it is ready.
    #[arg(long, value_name = "COMMAND", conflicts_with = "peer")]
    peer_command: Option<String>,
    /// The other server, running already; what needs a restart is left out.
    #[arg(long, value_name = "URL")]
    peer: Option<String>,
    /// The other server's API key.
    #[arg(long, value_name = "KEY", requires = "peer")]
    peer_key: Option<String>,
    /// A command to measure instead of this tree's Fireside, as for --peer-command.
    #[arg(long, value_name = "COMMAND", conflicts_with = "a")]
    a_command: Option<String>,
    /// A running server to measure instead of this tree's Fireside.
    #[arg(long, value_name = "URL")]
    a: Option<String>,
    /// Measure this scenario only; may be given again.
    #[arg(long, value_enum, value_name = "SCENARIO")]
    only: Vec<Scenario>,
    /// Samples of each side for each scenario.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
    /// The model that both serve.
    #[arg(long, value_name = "FILE", default_value = "models/default/SmolLM2-135M-Instruct.Q4_1.gguf")]
    model: PathBuf,
    /// Threads with which Fireside computes.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Given by `cargo bench`; without it nothing is measured, as in a run of all tests.
    #[arg(long, hide = true)]
    bench: bool,
}

// One thread, which mostly sleeps: the servers need the processor.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !arguments.bench {
        eprintln!("Nothing was measured: start this with `cargo bench`.");
        return ExitCode::SUCCESS;
    }
    // When the measuring is dropped, the servers that it started are killed.
    let ended = tokio::select! {
        ended = compare(&arguments) => ended,
        ended = interrupted() => ended,
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn interrupted() -> Outcome<bool> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    Err("interrupted".into())
}

/// Measures and prints; whether everything could be measured.
async fn compare(arguments: &Arguments) -> Outcome<bool> {
    let begin = Instant::now();
    let model = arguments.model.canonicalize();
    let model = model.map_err(|error| format!("{}: {error}", arguments.model.display()))?;
    let machine = report::machine(&model)?;
    eprint!("{machine}");
    let own = match (&arguments.a, &arguments.a_command) {
        (Some(url), _) => Contestant::url(url, None)?,
        (None, Some(command)) => Contestant::command(command, &model)?,
        (None, None) => Contestant::fireside(&model, arguments.threads).await?,
    };
    let other = match (&arguments.peer, &arguments.peer_command) {
        (Some(url), _) => Some(Contestant::url(url, arguments.peer_key.as_deref())?),
        (None, Some(command)) => Some(Contestant::command(command, &model)?),
        (None, None) => None,
    };
    let chosen = match arguments.only.as_slice() {
        [] => Scenario::value_variants(),
        chosen => chosen,
    };
    let mut measured = Vec::new();
    for &scenario in chosen {
        measured.push(measure(scenario, [Some(&own), other.as_ref()], arguments.rounds).await);
    }
    print_tables(&own, other.as_ref(), &measured);
    print!("{machine}");
    for server in [Some(&own), other.as_ref()].into_iter().flatten() {
        println!("- {}: {}", server.name, server.version().await?);
    }
    let own_cpu = process::own_cpu_seconds()?;
    println!(
        "- {} rounds in {:.0} s, of which this program itself computed {own_cpu:.1} s",
        arguments.rounds,
        begin.elapsed().as_secs_f64()
    );
    Ok(measured.iter().all(|measured| measured.failure.is_none()))
}

/// All rounds of one scenario, the sides in alternation. A failure ends this scenario only.
async fn measure(scenario: Scenario, servers: [Option<&Contestant>; 2], rounds: u8) -> Measured {
    let mut measured = Measured { scenario, sides: [vec![], vec![]], failure: None };
    for round in 0..rounds {
        let seed = fresh_seed();
        for (side, samples) in measured.sides.iter_mut().enumerate() {
            // Both sides of a round get the same text, which nobody got before.
            let mut text = Text::new(seed);
            match scenario.run(servers, side, &mut text).await {
                Ok(None) => {}
                Ok(Some(sample)) => {
                    eprintln!("{scenario:?}, round {}, side {}: {sample:.1?}", round + 1, ["A", "B"][side]);
                    samples.push(sample);
                }
                Err(error) => {
                    eprintln!("{scenario:?}: {error}");
                    measured.failure = Some(error.to_string());
                    return measured;
                }
            }
        }
    }
    measured
}

fn print_tables(own: &Contestant, other: Option<&Contestant>, measured: &[Measured]) {
    let (pages, compared): (Vec<&Measured>, Vec<_>) =
        measured.iter().partition(|measured| measured.scenario == Scenario::Pages);
    if !compared.is_empty() {
        let other = other.map_or("(no other server)", |other| &other.name);
        println!("{}", report::table(&compared, [&own.name, other]));
    }
    if !pages.is_empty() && own.is_fireside() {
        println!("{}", report::table(&pages, ["Fireside's pages", "Fireside's API"]));
    }
}

/// Never the same twice.
fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_nanos() as u64 ^ (u64::from(std::process::id()) << 32)
}
