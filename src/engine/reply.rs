use super::stop::StopStrings;
use super::utf8::Utf8;

/// The text of a reply while its tokens arrive. Nothing is allocated for a token, but for the buffers that grow with the reply.
pub(super) struct ReplyText {
    utf8: Utf8,
    stop: StopStrings,
    /// Characters of the last token.
    characters: String,
    ids: Vec<i32>,
    /// Bytes that the tokens up to each one spell.
    ends: Vec<usize>,
    /// Bytes of text given out.
    length: usize,
    /// Whether every token so far spells text.
    spelled: bool,
}

impl ReplyText {
    pub(super) fn new(stop: &[String]) -> Self {
        Self {
            utf8: Utf8::default(),
            stop: StopStrings::new(stop),
            characters: String::new(),
            ids: Vec::new(),
            ends: Vec::new(),
            length: 0,
            spelled: true,
        }
    }

    /// Appends the text that one more token makes certain; whether a stop string ended the reply.
    pub(super) fn push(&mut self, id: i32, bytes: &[u8], text: &mut String) -> bool {
        self.ids.push(id);
        self.ends.push(self.ends.last().unwrap_or(&0) + bytes.len());
        self.spelled &= !bytes.is_empty();
        self.characters.clear();
        self.utf8.push(bytes, &mut self.characters);
        let before = text.len();
        let stopped = self.stop.push(&self.characters, text);
        self.length += text.len() - before;
        stopped
    }

    /// Appends the text that was held back as a possible stop string, when the reply ended otherwise. A character of which
    /// only the beginning came is left out.
    pub(super) fn finish(&mut self, text: &mut String) {
        let before = text.len();
        self.stop.finish(text);
        self.length += text.len() - before;
    }

    /// Tokens so far.
    pub(super) fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// The tokens, if a beginning of them spells exactly the text given out.
    pub(super) fn token_ids(&self) -> Option<Vec<i32>> {
        if !self.spelled || self.utf8.replaced() {
            return None;
        }
        let last = self.ends.binary_search(&self.length).ok()?;
        Some(self.ids[..=last].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(stop: &[&str], pieces: &[&[u8]]) -> (String, Option<Vec<i32>>) {
        let stop: Vec<_> = stop.iter().map(|&stop| stop.to_owned()).collect();
        let mut reply = ReplyText::new(&stop);
        let mut text = String::new();
        for (id, piece) in (10..).zip(pieces) {
            if reply.push(id, piece, &mut text) {
                return (text, reply.token_ids());
            }
        }
        reply.finish(&mut text);
        (text, reply.token_ids())
    }

    #[test]
    fn a_whole_reply_keeps_all_its_tokens() {
        assert_eq!(reply(&["xyz"], &[b"Hi", b" \xc3", b"\xa9x"]), ("Hi éx".into(), Some(vec![10, 11, 12])));
    }

    #[test]
    fn a_cut_reply_keeps_its_tokens_only_where_they_spell_its_text() {
        assert_eq!(reply(&["END"], &[b"Hi", b"E", b"ND"]), ("Hi".into(), Some(vec![10])));
        assert_eq!(reply(&["END"], &[b"HiE", b"ND"]), ("Hi".into(), None));
    }

    #[test]
    fn a_reply_that_ends_inside_a_character_loses_the_part_and_its_token() {
        assert_eq!(reply(&[], &[b"Hi", b"\xf0\x9f"]), ("Hi".into(), Some(vec![10])));
    }

    #[test]
    fn control_tokens_and_broken_bytes_leave_no_token_ids() {
        assert_eq!(reply(&[], &[b"Hi", b""]), ("Hi".into(), None));
        assert_eq!(reply(&[], &[b"\xff"]).1, None);
        assert_eq!(reply(&[], &[]).1, None);
    }
}
