//! Medians, and the tables that are printed.

use std::fs;
use std::path::Path;

use crate::Outcome;
use crate::scenarios::{Goal, Measure, Sample, Scenario};

/// The samples of one scenario, of both sides.
pub struct Measured {
    pub scenario: Scenario,
    pub sides: [Vec<Sample>; 2],
    /// Why it could not be measured; a sentence.
    pub failure: Option<String>,
}

/// The middle of some values; none of none.
pub fn median(values: &[f64]) -> Option<f64> {
    percentile(values, 50.0)
}

/// A percentile of some values, between two of them where it falls there.
pub fn percentile(values: &[f64], percent: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len().checked_sub(1)?) as f64 * percent / 100.0;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(low + (high - low) * place.fract())
}

/// A Markdown table: medians with the range of all rounds, ratios, goals.
pub fn table(measured: &[&Measured], names: [&str; 2]) -> String {
    let [first, second] = names;
    let mut table = format!(
        "| measure | {first} | {second} | ratio | goal | met |\n| --- | --- | --- | --- | --- | --- |\n"
    );
    for one in measured {
        for (index, measure) in one.scenario.measures().iter().enumerate() {
            let values = one.sides.each_ref().map(|samples| column(samples, index));
            table += &row(measure, &values, one.failure.as_deref());
        }
    }
    table
}

fn column(samples: &[Sample], index: usize) -> Vec<f64> {
    samples.iter().filter_map(|sample| sample.get(index).copied().flatten()).collect()
}

fn row(measure: &Measure, values: &[Vec<f64>; 2], failure: Option<&str>) -> String {
    let Measure { name, unit, goal } = measure;
    if let Some(sentence) = failure {
        let sentence = sentence.replace(['|', '\n'], " ");
        return format!("| {name} ({unit}) | not measured: {sentence} | | | {} | |\n", goal.text(unit));
    }
    let [own, other] = values.each_ref().map(|values| median(values));
    let ratio = own.zip(other).map(|(own, other)| own / other);
    let met = goal.is_met(own, other).map_or("–", |met| if met { "yes" } else { "no" });
    let cells = values.each_ref().map(|values| cell(values));
    format!(
        "| {name} ({unit}) | {} | {} | {} | {} | {met} |\n",
        cells[0],
        cells[1],
        ratio.map_or("–".into(), |ratio| format!("{ratio:.3}")),
        goal.text(unit),
    )
}

/// `median (smallest to largest)`.
fn cell(values: &[f64]) -> String {
    let (least, most) = (percentile(values, 0.0), percentile(values, 100.0));
    match (median(values), least.zip(most)) {
        (Some(median), Some((least, most))) if values.len() > 1 => {
            format!("{} ({} to {})", number(median), number(least), number(most))
        }
        (Some(median), _) => number(median),
        (None, _) => "–".into(),
    }
}

fn number(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

impl Goal {
    fn text(self, unit: &str) -> String {
        match self {
            Self::RatioAtMost(ratio) => format!("at most {ratio} ×"),
            Self::RatioAtLeast(ratio) => format!("at least {ratio} ×"),
            Self::AtMostMore(more) => format!("at most {more} {unit} more"),
            Self::AtMost(most) => format!("at most {most} {unit}"),
            Self::AtLeast(least) => format!("at least {least} {unit}"),
        }
    }

    /// None while a number is missing.
    fn is_met(self, own: Option<f64>, other: Option<f64>) -> Option<bool> {
        Some(match self {
            Self::AtMost(most) => own? <= most,
            Self::AtLeast(least) => own? >= least,
            Self::RatioAtMost(ratio) => own? <= ratio * other?,
            Self::RatioAtLeast(ratio) => own? >= ratio * other?,
            Self::AtMostMore(more) => own? <= other? + more,
        })
    }
}

/// Processor, cores, memory, load and model file, as lines of a Markdown list.
pub fn machine(model: &Path) -> Outcome<String> {
    let field = |file: &str, name: &str| -> Outcome<String> {
        let content = fs::read_to_string(file)?;
        let line = content.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        Ok(line.split_once(':').map_or("unknown", |(_, value)| value.trim()).to_owned())
    };
    let processor = field("/proc/cpuinfo", "model name")?;
    let memory = field("/proc/meminfo", "MemTotal")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split_whitespace().next().unwrap_or("unknown").to_owned();
    let threads = std::thread::available_parallelism()?;
    let size = fs::metadata(model)?.len();
    let name = model.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!(
        "- Machine: {processor}, {threads} hardware threads, {memory} of memory, load {load} at the beginning\n- Model: {name}, {size} bytes\n"
    ))
}

/// The version of llama.cpp's bindings that Fireside was built with.
pub fn bindings() -> Option<&'static str> {
    let lock = include_str!("../../Cargo.lock");
    let (_, package) = lock.split_once("name = \"llama-cpp-sys-2\"\nversion = \"")?;
    package.split('"').next()
}
