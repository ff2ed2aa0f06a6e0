//! What a person looks for, and how a text shows that it was found.

use std::ops::Range;

use serde::Serialize;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Most words of a search; further ones are passed over.
const MAX_TERMS: usize = 16;
/// Characters of an excerpt before and behind the first word that was found.
const BEFORE: usize = 48;
const BEHIND: usize = 160;

/// Words that all have to be there. What stands in quotation marks has to be there as it is; any other word may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search(Vec<Term>);

/// Words that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// In lower case and without accents; at least one.
    pub words: Vec<String>,
    /// The last one is the beginning of a word.
    pub open: bool,
    /// What was typed, on one line.
    pub text: String,
}

/// A part of an excerpt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// What it says, on one line.
    pub text: String,
    /// Whether it was looked for.
    pub hit: bool,
}

impl Search {
    /// Reads what a person typed; none without a letter or a digit.
    pub fn parse(typed: &str) -> Option<Self> {
        let mut terms = Vec::new();
        // Every other part stood between quotation marks.
        for (place, part) in typed.split('"').enumerate() {
            match place % 2 {
                1 => terms.extend(Term::new(part, false)),
                _ => terms.extend(part.split_whitespace().filter_map(|word| Term::new(word, true))),
            }
        }
        terms.truncate(MAX_TERMS);
        (!terms.is_empty()).then_some(Self(terms))
    }

    /// What has to be there.
    pub fn terms(&self) -> &[Term] {
        &self.0
    }

    /// The text around the first word that was looked for, or its beginning.
    pub fn excerpt(&self, text: &str) -> Vec<Piece> {
        let words: Vec<Word> = words_of(text).collect();
        let mut hits = (0..words.len()).filter_map(|at| self.hit(&words[at..])).peekable();
        let first = hits.peek().map_or(0, |hit| hit.start);
        let start = text[..first].char_indices().rev().nth(BEFORE).map_or(0, |(at, _)| at);
        let end = text[first..].char_indices().nth(BEHIND).map_or(text.len(), |(at, _)| first + at);
        let mut pieces = Vec::new();
        let mut add = |range: Range<usize>, hit: bool| {
            let text = on_one_line(&text[range]);
            if !text.is_empty() {
                pieces.push(Piece { text, hit });
            }
        };
        let mut done = start;
        for hit in hits.take_while(|hit| hit.end <= end) {
            if hit.start >= done {
                add(done..hit.start, false);
                add(hit.clone(), true);
                done = hit.end;
            }
        }
        add(done..end, false);
        if start > 0
            && let Some(piece) = pieces.first_mut()
        {
            piece.text.insert(0, '…');
        }
        if end < text.len()
            && let Some(piece) = pieces.last_mut()
        {
            piece.text.push('…');
        }
        pieces
    }

    /// Where the first of these words begins what was looked for, the place of that.
    fn hit(&self, words: &[Word]) -> Option<Range<usize>> {
        Some(self.0.iter().find(|term| term.begins(words))?.span(words))
    }
}

impl Term {
    fn new(text: &str, open: bool) -> Option<Self> {
        let words: Vec<_> = words_of(text).map(|word| word.folded).collect();
        let text = on_one_line(text).trim().nfc().collect();
        (!words.is_empty()).then_some(Self { words, open, text })
    }

    fn begins(&self, words: &[Word]) -> bool {
        let last = self.words.len() - 1;
        words.len() > last
            && self.words.iter().zip(words).enumerate().all(|(place, (sought, word))| {
                word.folded == *sought
                    || place == last && self.open && word.folded.starts_with(sought.as_str())
            })
    }

    fn span(&self, words: &[Word]) -> Range<usize> {
        words[0].place.start..words[self.words.len() - 1].place.end
    }
}

struct Word {
    place: Range<usize>,
    folded: String,
}

/// Runs of letters, digits and marks on them, as SQLite's `unicode61` takes them; where words are not set apart, each letter.
fn words_of(text: &str) -> impl Iterator<Item = Word> {
    let part = |c: char| c.is_alphanumeric() || is_combining_mark(c);
    let end = move |word: &str| match word.chars().next() {
        Some(first) if is_spaceless(first) => first.len_utf8(),
        _ => word.find(|c| !part(c) || is_spaceless(c)).unwrap_or(word.len()),
    };
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + text[rest..].find(part)?;
        rest = start + end(&text[start..]);
        Some(Word { place: start..rest, folded: fold(&text[start..rest]) })
    })
}

/// In lower case and without accents. Marks that make another letter of one, as in Japanese, stay.
fn fold(word: &str) -> String {
    let accent = |c: &char| ('\u{300}'..='\u{36f}').contains(c);
    word.nfd().filter(|c| !accent(c)).nfc().flat_map(char::to_lowercase).collect()
}

/// Scripts without spaces between words: Thai, Lao, Burmese, Khmer, Chinese, Japanese. The database knows the same letters.
pub fn is_spaceless(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Runs of white space and control characters become one space, also at the ends.
fn on_one_line(text: &str) -> String {
    let blank = |c: char| c.is_whitespace() || c.is_control();
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match blank(c) {
            false => line.push(c),
            true if !line.ends_with(' ') => line.push(' '),
            true => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(search: &str, text: &str) -> String {
        let mark = |piece: Piece| if piece.hit { format!("[{}]", piece.text) } else { piece.text };
        Search::parse(search).unwrap().excerpt(text).into_iter().map(mark).collect()
    }

    #[test]
    fn a_search_without_a_word_is_none() {
        assert_eq!(Search::parse(" \" ++ \" - "), None);
    }

    #[test]
    fn words_are_found_by_their_beginning_whatever_their_case_and_accents() {
        assert_eq!(
            shown("creme brul", "A CRÈME\n\n brûlée, no crème fraîche"),
            "A [CRÈME] [brûlée], no [crème] fraîche"
        );
        assert_eq!(
            shown("well-know", "A well known, well-knowing word"),
            "A [well known], [well-knowing] word"
        );
    }

    #[test]
    fn quoted_words_are_found_as_they_are() {
        assert_eq!(shown("\"the sea\"", "the seal, the sea"), "the seal, [the sea]");
    }

    #[test]
    fn where_words_are_not_set_apart_any_place_will_do() {
        assert_eq!(shown("東京", "昨日は東京へ、また東京"), "昨日は[東京]へ、また[東京]");
        assert_eq!(shown("が", "かがみ"), "か[が]み");
    }

    #[test]
    fn a_long_text_is_cut_around_the_first_hit() {
        let text = format!("{}needle {}", "hay ".repeat(500), "straw ".repeat(500));

        let shown = shown("needle", &text);

        assert!(
            shown.starts_with("…") && shown.ends_with("…") && shown.contains(" [needle] straw"),
            "{shown}"
        );
        assert!(shown.chars().count() < 230, "{shown}");
        assert!(super::tests::shown("elsewhere", &text).starts_with("hay hay"));
    }
}
