use std::time::Duration;

use super::backend::Piece;

/// Share of the newest piece in what is known, if all are alike.
const NEWEST: f64 = 0.5;

/// How long it takes to read a part of a prompt: as much as running replies get a token for ([`Piece::for_one`]). Where a token
/// further on takes longer, that is fewer tokens.
///
/// By least squares, as a line through the origin, older pieces counting less. Short ones, which take longer for each token,
/// so say little.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Sum of seconds × parts.
    seconds_parts: f64,
    /// Sum of parts².
    parts_parts: f64,
    /// Tokens in the part that was read last.
    part_tokens: usize,
}

impl Reading {
    /// A piece was read.
    pub(super) fn took(&mut self, piece: Piece, took: Duration) {
        let (parts, older) = (parts(piece), 1.0 - NEWEST);
        self.seconds_parts = older * self.seconds_parts + took.as_secs_f64() * parts;
        self.parts_parts = older * self.parts_parts + parts * parts;
        self.part_tokens = piece.for_one;
    }

    /// How long a piece takes; 0 until one was read.
    pub(super) fn seconds(&self, piece: Piece) -> f64 {
        self.part() * parts(piece)
    }

    /// How long so many tokens take.
    pub(super) fn seconds_for(&self, tokens: usize) -> f64 {
        self.seconds(Piece { tokens, for_one: self.part_tokens })
    }

    fn part(&self) -> f64 {
        if self.parts_parts > 0.0 { self.seconds_parts / self.parts_parts } else { 0.0 }
    }
}

/// A piece in parts for which running replies get a token each.
pub(super) fn parts(piece: Piece) -> f64 {
    piece.tokens as f64 / piece.for_one.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[(usize, usize, u64)]) -> Reading {
        let mut reading = Reading::default();
        for &(tokens, for_one, took) in pieces {
            reading.took(Piece { tokens, for_one }, Duration::from_millis(took));
        }
        reading
    }

    fn milliseconds(reading: &Reading, tokens: usize, for_one: usize) -> f64 {
        (reading.seconds(Piece { tokens, for_one }) * 1_000.0).round()
    }

    #[test]
    fn nothing_is_known_before_something_was_read() {
        assert_eq!(milliseconds(&read(&[]), 128, 64), 0.0);
    }

    #[test]
    fn a_short_piece_that_took_long_says_little() {
        let reading = read(&[(10, 64, 80), (128, 64, 480), (8, 64, 90)]);

        let expected = milliseconds(&reading, 128, 64);

        assert!((480.0..490.0).contains(&expected), "{expected}");
    }

    #[test]
    fn the_newest_of_several_alike_weighs_half() {
        let slow_then_fast = read(&[(128, 64, 1_000), (128, 64, 1_000), (128, 64, 1_000), (128, 64, 500)]);

        let expected = milliseconds(&slow_then_fast, 128, 64);

        assert!((720.0..750.0).contains(&expected), "{expected}");
    }

    #[test]
    fn the_beginning_of_a_prompt_is_expected_to_be_faster_than_the_end_of_the_one_before() {
        let far_on = read(&[(128, 32, 800)]);

        assert_eq!(milliseconds(&far_on, 128, 64), 400.0);
    }
}
