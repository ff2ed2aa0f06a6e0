use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;

/// The texts of a model's special tokens.
pub(in crate::engine) struct Specials {
    /// None where the model has no special tokens.
    finder: Option<AhoCorasick>,
}

impl Specials {
    /// `texts` are those of all control, user-defined and unknown tokens, with whether the tokenizer finds the token even in
    /// text that it was told to take literally. Of these, the ones of white space only are how some models
    /// write indentation: they stay whole.
    pub(in crate::engine) fn new(
        texts: impl IntoIterator<Item = (String, bool)>,
    ) -> Result<Self, aho_corasick::BuildError> {
        let texts: BTreeSet<String> = texts
            .into_iter()
            .filter(|(text, literal)| !(text.is_empty() || *literal && text.trim().is_empty()))
            .map(|(text, _)| text)
            .collect();
        let finder = if texts.is_empty() { None } else { Some(AhoCorasick::new(&texts)?) };
        Ok(Self { finder })
    }

    /// Where to cut a text of contents so that no part holds a special token's text. A text of one
    /// character cannot be cut and is not listed.
    pub(super) fn inner_cuts(&self, text: &str) -> BTreeSet<usize> {
        self.matches(text).filter_map(|(start, end)| inside(text, start, end)).collect()
    }

    /// Where to cut a text so that no part holds a special token's text that touches one of the `contents` (ascending
    /// ranges of bytes). A text of one character is cut out, to be tokenized literally.
    pub(super) fn cuts(&self, text: &str, contents: &[std::ops::Range<usize>]) -> BTreeSet<usize> {
        let touches = |start: usize, end: usize| {
            let first = contents.partition_point(|content| content.end <= start);
            contents.get(first).is_some_and(|content| content.start < end)
        };
        self.matches(text)
            .filter(|&(start, end)| touches(start, end))
            .flat_map(|(start, end)| match inside(text, start, end) {
                Some(cut) => [cut, cut],
                None => [start, end],
            })
            .collect()
    }

    fn matches<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
        let found = self.finder.iter().flat_map(move |finder| finder.find_overlapping_iter(text));
        found.map(|found| (found.start(), found.end()))
    }
}

/// The place after the first of several characters.
fn inside(text: &str, start: usize, end: usize) -> Option<usize> {
    let first = text[start..end].chars().next()?.len_utf8();
    (start + first < end).then_some(start + first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specials(texts: &[&str]) -> Specials {
        Specials::new(texts.iter().map(|&text| (text.to_owned(), false))).unwrap()
    }

    #[test]
    fn every_special_text_is_cut_also_where_they_overlap() {
        let specials = specials(&["<a>", "a><", "><b>", "é!"]);

        let text = "<a><b> é!";

        assert_eq!(specials.inner_cuts(text), [1, 2, 3, 9].into());
    }

    #[test]
    fn the_templates_own_special_texts_stay_whole() {
        let specials = specials(&["<|end|>", "#"]);
        let text = "<|end|>a<|end|>b#<|end|>";

        let cuts = specials.cuts(text, std::slice::from_ref(&(7..17)));

        assert_eq!(cuts, [9, 16, 17].into());
    }

    #[test]
    fn a_special_text_half_in_the_template_and_half_typed_is_cut() {
        assert_eq!(specials(&["<|end|>"]).cuts("<|end|>", std::slice::from_ref(&(2..7))), [1].into());
        assert_eq!(specials(&["<|end|>"]).cuts("<|end|>", std::slice::from_ref(&(3..3))), [1].into());
    }

    #[test]
    fn white_space_that_the_tokenizer_always_finds_stays_whole() {
        let specials = Specials::new([("\n\n".to_owned(), true), ("  ".to_owned(), false)]).unwrap();

        assert_eq!(specials.inner_cuts("a\n\n  b"), [4].into());
    }
}
