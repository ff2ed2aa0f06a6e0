//! What changed between two texts, line by line.

use std::fmt;

/// Above so many pairs of lines the changed part is shown as a whole.
const MAX_PAIRS: usize = 1 << 20;

/// A line of two texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffLine {
    /// `-` left, `+` came, a space stayed.
    pub sign: char,
    /// What it says.
    pub text: String,
}

impl fmt::Display for DiffLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(format!("{} {}", self.sign, self.text).trim_end())
    }
}

/// Every line of both texts behind its sign: `- ` left, `+ ` came, two spaces stayed. Each ends with a newline.
pub fn diff(before: &str, after: &str) -> String {
    diff_lines(before, after).iter().map(|line| format!("{line}\n")).collect()
}

/// Every line of both texts.
pub(super) fn diff_lines(before: &str, after: &str) -> Vec<DiffLine> {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let head = before.iter().zip(&after).take_while(|(b, a)| b == a).count();
    let (old, new) = (&before[head..], &after[head..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(b, a)| b == a).count();
    let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);

    let mut lines = Lines(Vec::new());
    lines.push(' ', &before[..head]);
    if old.len().saturating_mul(new.len()) > MAX_PAIRS {
        lines.push('-', old);
        lines.push('+', new);
    } else {
        lines.push_changes(old, new);
    }
    lines.push(' ', &before[before.len() - tail..]);
    lines.0
}

struct Lines(Vec<DiffLine>);

impl Lines {
    fn push(&mut self, sign: char, lines: &[&str]) {
        self.0.extend(lines.iter().map(|line| DiffLine { sign, text: (*line).to_owned() }));
    }

    /// Keeps a longest common row of lines.
    fn push_changes(&mut self, old: &[&str], new: &[&str]) {
        // common[o][n] = the length of such a row in old[o..] and new[n..].
        let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
        for o in (0..old.len()).rev() {
            for n in (0..new.len()).rev() {
                common[o][n] = match old[o] == new[n] {
                    true => common[o + 1][n + 1] + 1,
                    false => common[o + 1][n].max(common[o][n + 1]),
                };
            }
        }
        let (mut o, mut n) = (0, 0);
        while o < old.len() || n < new.len() {
            if o < old.len() && n < new.len() && old[o] == new[n] {
                self.push(' ', &old[o..=o]);
                (o, n) = (o + 1, n + 1);
            } else if o < old.len() && (n == new.len() || common[o + 1][n] >= common[o][n + 1]) {
                self.push('-', &old[o..=o]);
                o += 1;
            } else {
                self.push('+', &new[n..=n]);
                n += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stayed_left_and_came_stands_in_order() {
        assert_eq!(diff("a\nb\nc\nd", "a\nx\nc\ny\nd"), "  a\n- b\n+ x\n  c\n+ y\n  d\n");
        assert_eq!(diff("a\n\nb", "a\n\nb"), "  a\n\n  b\n");
        assert_eq!(diff("", "a"), "+ a\n");
        assert_eq!(diff("a", ""), "- a\n");
    }

    #[test]
    fn a_large_change_is_shown_as_a_whole() {
        let text = |word: &str| (0..2_000).map(|n| format!("{word}{n}\n")).collect::<String>();

        let changed = diff(&text("a"), &text("b"));

        assert_eq!(changed.lines().filter(|line| line.starts_with("- a")).count(), 2_000);
        assert!(changed.ends_with("+ b1999\n"));
    }
}
