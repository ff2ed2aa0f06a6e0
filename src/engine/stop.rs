/// Finds stop strings in a text that arrives in pieces; text that may turn out to be one is held back.
///
/// Each byte is looked at once for each stop string (Knuth, Morris and Pratt), so the work grows with the text and not with
/// its square, and the outcome does not depend on how the text was cut into pieces.
pub(super) struct StopStrings {
    needles: Vec<Needle>,
    /// What may be the beginning of a stop string.
    held: String,
}

impl StopStrings {
    /// No text in `stops` may be empty.
    pub(super) fn new(stops: &[String]) -> Self {
        let needles = stops.iter().filter(|stop| !stop.is_empty()).map(|stop| Needle::new(stop)).collect();
        Self { needles, held: String::new() }
    }

    /// Appends the text that is certain now; whether a stop string ended it. The stop string that is whole first wins; of
    /// those that end together, the one that began first.
    pub(super) fn push(&mut self, piece: &str, text: &mut String) -> bool {
        if self.needles.is_empty() {
            text.push_str(piece);
            return false;
        }
        let known = self.held.len();
        self.held.push_str(piece);
        for (at, byte) in piece.bytes().enumerate() {
            let found = self.needles.iter_mut().filter_map(|needle| needle.advance(byte)).max();
            if let Some(length) = found {
                text.push_str(&self.held[..known + at + 1 - length]);
                self.held.clear();
                return true;
            }
        }
        let open = self.needles.iter().map(|needle| needle.matched).max().unwrap_or(0);
        text.extend(self.held.drain(..self.held.len() - open));
        false
    }

    /// Appends the text held back, when nothing can follow any more.
    pub(super) fn finish(&mut self, text: &mut String) {
        text.push_str(&self.held);
        self.held.clear();
    }
}

struct Needle {
    bytes: Vec<u8>,
    /// For each length of a match, the next shorter match that ends at the same byte.
    shorter: Vec<usize>,
    matched: usize,
}

impl Needle {
    fn new(text: &str) -> Self {
        let bytes = text.as_bytes().to_vec();
        let mut shorter = vec![0; bytes.len() + 1];
        for end in 1..bytes.len() {
            let mut length = shorter[end];
            while length > 0 && bytes[length] != bytes[end] {
                length = shorter[length];
            }
            shorter[end + 1] = if bytes[length] == bytes[end] { length + 1 } else { 0 };
        }
        Self { bytes, shorter, matched: 0 }
    }

    /// The needle's length, once `byte` completes it.
    fn advance(&mut self, byte: u8) -> Option<usize> {
        while self.matched > 0 && self.bytes[self.matched] != byte {
            self.matched = self.shorter[self.matched];
        }
        if self.bytes[self.matched] == byte {
            self.matched += 1;
        }
        (self.matched == self.bytes.len()).then_some(self.matched)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let stops: Vec<_> = stops.iter().map(|&stop| stop.to_owned()).collect();
        let mut stop = StopStrings::new(&stops);
        let mut out = Vec::new();
        for piece in pieces {
            let mut text = String::new();
            let stopped = stop.push(piece, &mut text);
            out.push(text);
            if stopped {
                return (out, true);
            }
        }
        let mut text = String::new();
        stop.finish(&mut text);
        out.push(text);
        (out, false)
    }

    #[test]
    fn a_stop_string_split_at_any_place_never_leaks() {
        let stop = "<|é nd|>";
        for cut in (0..=stop.len()).filter(|&cut| stop.is_char_boundary(cut)) {
            let (pieces, stopped) = run(&[stop], &["Hi ", &stop[..cut], &stop[cut..], "tail"]);

            assert!(stopped, "cut at {cut}");
            assert_eq!(pieces.concat(), "Hi ", "cut at {cut}");
        }
    }

    #[test]
    fn what_only_began_like_a_stop_string_is_released() {
        assert_eq!(
            run(&["\n\nUser:"], &["a\n", "\nUs", "ual"]),
            (vec!["a".into(), "".into(), "\n\nUsual".into(), "".into()], false)
        );
        assert_eq!(run(&["aab"], &["aa", "a", "b!"]).0.concat(), "a");
    }

    #[test]
    fn the_end_of_the_reply_releases_what_was_held() {
        assert_eq!(run(&["stop"], &["don't sto"]), (vec!["don't ".into(), "sto".into()], false));
    }

    #[test]
    fn of_two_that_end_together_the_one_that_began_first_counts() {
        assert_eq!(run(&["cd", "bcd"], &["abcde"]).0.concat(), "a");
    }

    proptest! {
        #[test]
        fn the_outcome_does_not_depend_on_the_pieces(
            text in "[abé]{0,12}",
            stops in prop::collection::vec("[abé]{1,3}", 0..3),
        ) {
            let stops: Vec<_> = stops.iter().map(String::as_str).collect();
            let letters: Vec<_> = text.chars().map(String::from).collect();
            let letters: Vec<_> = letters.iter().map(String::as_str).collect();

            let (whole, at_once) = run(&stops, &[&text]);
            let (split, bit_by_bit) = run(&stops, &letters);

            prop_assert_eq!(whole.concat(), split.concat());
            prop_assert_eq!(at_once, bit_by_bit);
            prop_assert!(stops.iter().all(|stop| !whole.concat().contains(stop)));
        }
    }
}
