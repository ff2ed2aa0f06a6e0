//! What is kept back of a reply for `on_chunk`, so that no pattern escapes it by being split over two pieces.

/// Most characters that a change may keep back beyond `hold` before they go out as they are.
const LONGEST_CHANGE: usize = 4_000;

/// The end of a reply that a plugin has not let go yet, as it was before that plugin.
///
/// Invariant: the last `hold` characters never go out before the reply ends, and what a change touches goes out only
/// when `hold` unchanged characters follow it: until then the next piece may belong to it.
#[derive(Debug, Default)]
pub(super) struct Window {
    text: String,
    hold: usize,
}

/// What one call lets go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LetGo {
    /// The text, as the plugin left it.
    pub(super) text: String,
    /// Whether it is something else than what came in.
    pub(super) altered: bool,
}

impl Window {
    /// An empty one that keeps back `hold` characters.
    pub(super) fn new(hold: usize) -> Self {
        Self { text: String::new(), hold }
    }

    /// Takes a piece in.
    pub(super) fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
    }

    /// What the plugin is shown.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Lets go what can no longer change. `shown` is what the plugin made of [`Window::text`]; none if it left it alone.
    pub(super) fn settle(&mut self, shown: Option<String>) -> LetGo {
        let tail = tail(&self.text, self.hold);
        let Some(mut shown) = shown.filter(|shown| *shown != self.text) else {
            let rest = self.text.split_off(tail);
            return LetGo { text: std::mem::replace(&mut self.text, rest), altered: false };
        };
        if shown.ends_with(&self.text[tail..]) {
            shown.truncate(shown.len() - (self.text.len() - tail));
            self.text.drain(..tail);
            return LetGo { text: shown, altered: true };
        }
        // The change reaches what is kept back. What it put first may be what stood there, so it may begin as far before
        // the first difference as a pattern is long; what stands before that is final.
        let same = self.text.chars().zip(shown.chars()).take_while(|(left, right)| left == right);
        let same = same.map(|(c, _)| c.len_utf8()).sum::<usize>();
        let keep_from = self::tail(&self.text[..same], self.hold).min(tail);
        if self.text[keep_from..].chars().nth(self.hold + LONGEST_CHANGE).is_some() {
            self.text = shown.split_off(self::tail(&shown, self.hold));
            return LetGo { text: shown, altered: true };
        }
        let rest = self.text.split_off(keep_from);
        LetGo { text: std::mem::replace(&mut self.text, rest), altered: false }
    }

    /// Lets go of all: the reply is over. `shown` as for [`Window::settle`].
    pub(super) fn end(&mut self, shown: Option<String>) -> LetGo {
        let text = std::mem::take(&mut self.text);
        match shown.filter(|shown| *shown != text) {
            Some(text) => LetGo { text, altered: true },
            None => LetGo { text, altered: false },
        }
    }

    /// Forgets what is kept back; whether that was anything.
    pub(super) fn clear(&mut self) -> bool {
        let anything = !self.text.is_empty();
        self.text.clear();
        anything
    }
}

/// Where the last `count` characters begin, in bytes.
fn tail(text: &str, count: usize) -> usize {
    match count.checked_sub(1) {
        None => text.len(),
        Some(before) => text.char_indices().rev().nth(before).map_or(0, |(at, _)| at),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    /// A reply in pieces through a plugin that replaces a pattern.
    fn replaced(pieces: &[&str], hold: usize, pattern: &str, to: &str) -> String {
        let pattern = Regex::new(pattern).unwrap();
        let mut window = Window::new(hold);
        let mut out = String::new();
        for piece in pieces {
            window.push(piece);
            let shown = pattern.replace_all(window.text(), to).into_owned();
            out += &window.settle(Some(shown)).text;
        }
        let shown = pattern.replace_all(window.text(), to).into_owned();
        out += &window.end(Some(shown)).text;
        out
    }

    #[test]
    fn nothing_waits_without_a_hold() {
        let mut window = Window::new(0);
        window.push("abc");

        assert_eq!(window.settle(None), LetGo { text: "abc".into(), altered: false });
        window.push("d");
        assert_eq!(window.settle(Some("D".into())), LetGo { text: "D".into(), altered: true });
        assert_eq!(window.end(None), LetGo::default());
    }

    #[test]
    fn a_match_that_may_still_grow_waits_until_it_is_over() {
        let pieces = ["Write to bob@exam", "ple.co", "mpany now", ", please do it."];

        let said = replaced(&pieces, 8, r"\w+@[\w.]+\w", "[gone]");

        assert_eq!(said, "Write to [gone] now, please do it.");
    }

    #[test]
    fn a_plugin_that_changes_everything_still_lets_go() {
        let mut window = Window::new(10);
        let mut out = String::new();
        for _ in 0..1_000 {
            window.push("some text ");
            let shown = window.text().to_uppercase();
            out += &window.settle(Some(shown)).text;
        }

        assert!(out.len() > 4_000 && out.len() < 10_000, "{} characters", out.len());
        assert!(!out.contains('s'));
    }

    proptest! {
        /// However a reply is cut into pieces, what comes out is what the plugin makes of the whole.
        #[test]
        fn pieces_do_not_matter(
            words in prop::collection::vec(prop_oneof!["[a-zé ]{0,12}", Just("4711-0815-42".to_owned())], 0..8),
            cuts in prop::collection::vec(0_usize..100, 0..20),
            // The last two leave what the pattern begins or ends with.
            to in prop_oneof![Just("[number removed]"), Just("4711-****-**"), Just("****-****-42")],
        ) {
            let text = words.join(" ");
            let mut at: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            at.retain(|at| cuts.iter().any(|cut| *at == cut % (text.len() + 1)));
            let starts = std::iter::once(0).chain(at.iter().copied());
            let ends = at.iter().copied().chain([text.len()]);
            let pieces: Vec<&str> = starts.zip(ends).map(|(from, to)| &text[from..to]).collect();
            let pattern = "4711-0815-42";

            let said = replaced(&pieces, pattern.len() - 1, pattern, to);

            prop_assert_eq!(said, text.replace(pattern, to));
        }
    }
}
