use std::time::{Duration, Instant};

/// Share of the time that goes to running replies while prompts wait to be read: a prompt makes nobody stand still, and
/// replies do not keep anybody from a first word.
const REPLIES_SHARE: f64 = 0.1;

/// Weight of the newest measurement.
const NEWEST: f64 = 0.3;

/// Smallest piece of a prompt worth a computation of its own.
const SMALLEST_PIECE: usize = 8;

/// Measures how fast prompts are read and replies are written, and shares the time between them.
pub(super) struct Pace {
    max_stall: f64,
    /// Seconds to read one token of a prompt. None until one was read.
    token: Option<f64>,
    /// Seconds of the last step of the running replies.
    step: f64,
    stepped_at: Instant,
    /// Pieces read since then.
    pieces: u32,
}

impl Pace {
    /// No running reply is to stand still for longer than `max_stall`.
    pub(super) fn new(max_stall: Duration) -> Self {
        let max_stall = max_stall.as_secs_f64();
        Self { max_stall, token: None, step: 0.0, stepped_at: Instant::now(), pieces: 0 }
    }

    /// A piece of a prompt was read.
    pub(super) fn read(&mut self, tokens: usize, took: Duration, replies_run: bool) {
        let measured = took.as_secs_f64() / tokens.max(1) as f64;
        self.token = Some(self.token.map_or(measured, |token| token + NEWEST * (measured - token)));
        self.pieces += 1;
        if !replies_run {
            self.stepped_at = Instant::now();
        }
    }

    /// The running replies went one step further.
    pub(super) fn stepped(&mut self, took: Duration) {
        self.step = took.as_secs_f64();
        self.stepped_at = Instant::now();
        self.pieces = 0;
    }

    /// Whether the running replies go first, while a piece of so many tokens waits to be read. Between two steps of theirs at
    /// least one piece is read; more, as long as nobody stands still too long, if their step takes more than its share.
    pub(super) fn replies_first(&self, piece: usize) -> bool {
        let stalled = self.stepped_at.elapsed().as_secs_f64();
        let too_long = stalled + self.reading(piece) + self.step > self.max_stall;
        self.pieces > 0 && (too_long || self.step <= REPLIES_SHARE * stalled)
    }

    /// How much of a piece may be read in one go while replies run: all of it, or on a slow machine the half, a quarter …
    /// that is read within the longest pause.
    pub(super) fn piece(&self, whole: usize) -> usize {
        let mut piece = whole;
        while piece > SMALLEST_PIECE && self.reading(piece) + self.step > self.max_stall {
            piece = (piece / 2).max(SMALLEST_PIECE);
        }
        piece
    }

    /// When so many tokens would be read, if nothing else ran.
    pub(super) fn due(&self, tokens: usize) -> Instant {
        let now = Instant::now();
        let reading = Duration::try_from_secs_f64(self.reading(tokens)).unwrap_or_default();
        now.checked_add(reading).unwrap_or(now)
    }

    fn reading(&self, tokens: usize) -> f64 {
        self.token.unwrap_or(0.0) * tokens as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads 64 tokens in `read` milliseconds and takes a step in `step`.
    fn pace(max_stall: u64, read: u64, step: u64) -> Pace {
        let mut pace = Pace::new(Duration::from_millis(max_stall));
        pace.read(64, Duration::from_millis(read), false);
        pace.stepped(Duration::from_millis(step));
        pace
    }

    /// A step that ended so many milliseconds ago, and pieces since.
    fn after(mut pace: Pace, stalled: u64, pieces: u32) -> Pace {
        pace.stepped_at = Instant::now().checked_sub(Duration::from_millis(stalled)).unwrap();
        pace.pieces = pieces;
        pace
    }

    #[test]
    fn a_prompt_moves_on_between_any_two_steps() {
        assert!(!after(pace(300, 140, 7), 1_000, 0).replies_first(64));
    }

    #[test]
    fn one_cheap_stream_goes_on_after_each_piece() {
        assert!(after(pace(300, 140, 7), 140, 1).replies_first(64));
    }

    #[test]
    fn many_streams_give_way_to_a_second_piece_but_not_past_the_longest_pause() {
        assert!(!after(pace(400, 140, 30), 140, 1).replies_first(64));
        assert!(after(pace(400, 140, 30), 280, 2).replies_first(64));
        assert!(after(pace(300, 140, 30), 140, 1).replies_first(64));
    }

    #[test]
    fn a_slow_machine_reads_smaller_pieces_while_replies_run() {
        assert_eq!(pace(300, 140, 7).piece(64), 64);
        assert_eq!(pace(300, 1_000, 40).piece(64), 16);
        assert_eq!(pace(10, 60_000, 40).piece(64), SMALLEST_PIECE);
    }
}
