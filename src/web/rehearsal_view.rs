//! What a rehearsal of plugins looks like on a page.

use serde::Serialize;

use crate::plugins::{DiffLine, Outcome, Rehearsed, Step};

/// Lines around a change that are shown with it.
const CONTEXT: usize = 3;
/// Most lines of all steps together.
const MAX_LINES: usize = 5_000;
/// Longest line, in characters; the rest is cut.
const MAX_CHARS: usize = 2_000;

/// A call of a hook, or what goes into it.
#[derive(Serialize)]
pub struct StepView {
    what: &'static str,
    plugin: Option<String>,
    /// It is a call of the plugin whose page this is.
    own: bool,
    /// How it looks, and which text tells the outcome.
    kind: &'static str,
    outcome: &'static str,
    reason: Option<String>,
    lines: Vec<RowView>,
}

/// A line of a diff, or what stands for lines that are left out.
#[derive(Serialize)]
struct RowView {
    kind: &'static str,
    sign: &'static str,
    text: String,
    /// Which text stands for lines that are left out; their number is then in `text`.
    gap: Option<&'static str>,
}

impl StepView {
    /// Every step, for the page of the plugin `own`.
    pub fn all(rehearsed: Rehearsed, own: &str) -> Vec<Self> {
        let mut left = MAX_LINES;
        rehearsed.steps.into_iter().map(|step| Self::new(step, own, &mut left)).collect()
    }

    fn new(step: Step, own: &str, left: &mut usize) -> Self {
        let (kind, outcome) = match &step.outcome {
            Outcome::Shown => ("shown", "shown"),
            Outcome::Unchanged => ("unchanged", "unchanged"),
            Outcome::Changed => ("changed", "changed"),
            Outcome::Answers => ("changed", "answers"),
            Outcome::AsksAgain => ("changed", "asks_again"),
            Outcome::Names => ("changed", "names"),
            Outcome::Refuses(_) => ("refused", "refuses"),
            Outcome::Failed(_) => ("failed", "fails"),
        };
        let whole = step.outcome != Outcome::Changed;
        let mut lines = rows(&step.lines, whole);
        if lines.len() > *left {
            lines.truncate(*left);
            lines.push(gap("rest", String::new()));
        }
        *left = left.saturating_sub(lines.len());
        let reason = match step.outcome {
            Outcome::Refuses(reason) | Outcome::Failed(reason) => Some(reason),
            _ => None,
        };
        let own = step.plugin.as_deref() == Some(own);
        Self { what: step.what, plugin: step.plugin, own, kind, outcome, reason, lines }
    }
}

/// The lines; where the change matters, without those that are far from it.
fn rows(lines: &[DiffLine], whole: bool) -> Vec<RowView> {
    let changed: Vec<usize> =
        lines.iter().enumerate().filter(|(_, line)| line.sign != ' ').map(|(at, _)| at).collect();
    let mut rows = Vec::new();
    let (mut skipped, mut next) = (0, 0);
    for (at, line) in lines.iter().enumerate() {
        while changed.get(next).is_some_and(|change| change + CONTEXT < at) {
            next += 1;
        }
        if whole || changed.get(next).is_some_and(|change| change.abs_diff(at) <= CONTEXT) {
            rows.extend(left_out(std::mem::take(&mut skipped)));
            rows.push(row(line));
        } else {
            skipped += 1;
        }
    }
    rows.extend(left_out(skipped));
    rows
}

fn row(line: &DiffLine) -> RowView {
    let (kind, sign) = match line.sign {
        '-' => ("gone", "−"),
        '+' => ("new", "+"),
        _ => ("same", " "),
    };
    let mut text = line.text.clone();
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    RowView { kind, sign, text, gap: None }
}

fn left_out(count: usize) -> Option<RowView> {
    match count {
        0 => None,
        1 => Some(gap("one", "1".into())),
        _ => Some(gap("many", count.to_string())),
    }
}

fn gap(says: &'static str, count: String) -> RowView {
    RowView { kind: "gap", sign: "", text: count, gap: Some(says) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_far_from_a_change_is_left_out() {
        let line = |at| DiffLine { sign: if at == 10 { '+' } else { ' ' }, text: format!("line {at}") };
        let lines: Vec<_> = (0..15).map(line).collect();

        let rows_near = rows(&lines, false);
        let gaps = [rows_near.first().unwrap().gap, rows_near.last().unwrap().gap];
        let texts: Vec<_> = rows_near.into_iter().map(|row| row.text).collect();

        assert_eq!(gaps, [Some("many"), Some("one")]);
        assert_eq!(texts.first().unwrap(), "7");
        assert_eq!(texts[1..texts.len() - 1], (7..14).map(|at| format!("line {at}")).collect::<Vec<_>>());
        assert_eq!(texts.last().unwrap(), "1");
        assert_eq!(rows(&lines, true).len(), 15);
    }
}
