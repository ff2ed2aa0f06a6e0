/// Turns the bytes of tokens into text: a character that is split over tokens is held until it is whole.
#[derive(Default)]
pub(super) struct Utf8 {
    /// The beginning of a character, at most three bytes.
    held: Vec<u8>,
    replaced: bool,
}

impl Utf8 {
    /// The characters that are whole now. Bytes that can never become a character turn into U+FFFD.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        let mut bytes = [std::mem::take(&mut self.held).as_slice(), bytes].concat();
        let mut text = String::with_capacity(bytes.len());
        loop {
            let error = match std::str::from_utf8(&bytes) {
                Ok(valid) => {
                    text.push_str(valid);
                    return text;
                }
                Err(error) => error,
            };
            let rest = bytes.split_off(error.valid_up_to());
            text.push_str(&String::from_utf8_lossy(&bytes));
            match error.error_len() {
                None => {
                    self.held = rest;
                    return text;
                }
                Some(length) => {
                    self.replaced = true;
                    text.push(char::REPLACEMENT_CHARACTER);
                    bytes = rest[length..].to_vec();
                }
            }
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

    #[test]
    fn an_emoji_split_over_tokens_arrives_whole() {
        let mut utf8 = Utf8::default();

        let pieces: Vec<_> = "a🦊".bytes().map(|byte| utf8.push(&[byte])).collect();

        assert_eq!(pieces, ["a", "", "", "", "🦊"]);
        assert!(!utf8.replaced());
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_and_said_so() {
        let mut utf8 = Utf8::default();

        let text = utf8.push(b"\xffa\xf0\x9f") + utf8.push(b"b").as_str();

        assert_eq!(text, "\u{fffd}a\u{fffd}b");
        assert!(utf8.replaced());
    }

    proptest! {
        #[test]
        fn pieces_join_to_what_the_whole_would_be(bytes: Vec<u8>, cut in 0..64usize) {
            let (left, right) = bytes.split_at(cut.min(bytes.len()));
            let mut utf8 = Utf8::default();

            let text = utf8.push(left) + utf8.push(right).as_str();

            let whole = String::from_utf8_lossy(&bytes);
            prop_assert!(whole.starts_with(&text));
            prop_assert!(whole.chars().count() - text.chars().count() <= 1);
        }
    }
}
