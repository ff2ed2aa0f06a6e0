/// Turns the bytes of tokens into text: a character that is split over tokens is held until it is whole.
#[derive(Default)]
pub(super) struct Utf8 {
    /// The beginning of a character, at most three bytes.
    held: Vec<u8>,
    replaced: bool,
}

impl Utf8 {
    /// Appends the characters that are whole now. Bytes that can never become a character turn into U+FFFD.
    pub(super) fn push(&mut self, bytes: &[u8], text: &mut String) {
        if self.held.is_empty()
            && let Ok(whole) = std::str::from_utf8(bytes)
        {
            return text.push_str(whole);
        }
        self.held.extend_from_slice(bytes);
        let mut rest = self.held.as_slice();
        loop {
            let error = match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    return self.held.clear();
                }
                Err(error) => error,
            };
            let (valid, after) = rest.split_at(error.valid_up_to());
            text.push_str(&String::from_utf8_lossy(valid));
            let Some(length) = error.error_len() else {
                let known = self.held.len() - after.len();
                self.held.drain(..known);
                return;
            };
            self.replaced = true;
            text.push(char::REPLACEMENT_CHARACTER);
            rest = &after[length..];
        }
    }

    /// Whether some bytes were no text, so that the text no longer spells them.
    pub(super) fn replaced(&self) -> bool {
        self.replaced
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn push(utf8: &mut Utf8, bytes: &[u8]) -> String {
        let mut text = String::new();
        utf8.push(bytes, &mut text);
        text
    }

    #[test]
    fn f21_an_emoji_split_over_tokens_arrives_whole() {
        let mut utf8 = Utf8::default();

        let pieces: Vec<_> = "a🦊".bytes().map(|byte| push(&mut utf8, &[byte])).collect();

        assert_eq!(pieces, ["a", "", "", "", "🦊"]);
        assert!(!utf8.replaced());
    }

    #[test]
    fn f21_bytes_that_are_no_text_are_replaced_and_said_so() {
        let mut utf8 = Utf8::default();

        let text = push(&mut utf8, b"\xffa\xf0\x9f") + push(&mut utf8, b"b").as_str();

        assert_eq!(text, "\u{fffd}a\u{fffd}b");
        assert!(utf8.replaced());
    }

    proptest! {
        #[test]
        fn pieces_join_to_what_the_whole_would_be(bytes: Vec<u8>, cut in 0..64usize) {
            let (left, right) = bytes.split_at(cut.min(bytes.len()));
            let mut utf8 = Utf8::default();

            let text = push(&mut utf8, left) + push(&mut utf8, right).as_str();

            let whole = String::from_utf8_lossy(&bytes);
            prop_assert!(whole.starts_with(&text));
            prop_assert!(whole.chars().count() - text.chars().count() <= 1);
        }
    }
}
