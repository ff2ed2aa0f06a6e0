use std::time::{Duration, Instant};

use super::backend::Piece;
use super::reading::{Reading, parts};

/// Share of the time that goes to running replies while prompts wait to be read: a prompt makes nobody stand still, and
/// replies do not keep anybody from a first word. Up to this share, replies are written ahead: several tokens in one go, which
/// their readers then get one by one while the next piece of a prompt is read. Text flows evenly, although long pieces, which are
/// read faster, go between.
const REPLIES_SHARE: f64 = 0.1;

/// How much longer than expected a piece may take without a gap in what is read: the next one seldom takes exactly as long.
const MARGIN: f64 = 1.05;

/// Share of the time between two tokens by which what is written ahead may be seen late. A piece that takes longer than
/// expected is then made up for.
const RESERVE: f64 = 0.5;

/// Weight of the newest measurement.
const NEWEST: f64 = 0.5;

/// … and of a step that took longer than those before. What else the machine does can only make it longer, mostly for a moment:
/// a long prompt that arrives is cut into tokens just then.
const LONGER: f64 = 0.1;

/// Smallest piece of a prompt worth a computation of its own.
const SMALLEST_PIECE: usize = 8;

/// Measures how fast prompts are read and replies are written, and shares the time between them.
pub(super) struct Pace {
    max_stall: f64,
    reading: Reading,
    /// Seconds of a step of the running replies. None until there was one.
    step: Option<f64>,
    stepped_at: Instant,
    /// Pieces read since then.
    pieces: u32,
    /// Whether one prompt waits to be read, and not several.
    one_waits: bool,
    /// What is written ahead of the next piece.
    ahead: Ahead,
}

/// Tokens of each reply that are written in one go.
struct Ahead {
    written: u32,
    most: u32,
    /// When the first of them was there.
    first_at: Instant,
    /// How long after each other they are to be seen; none where a piece brings one token.
    gap: Option<Duration>,
    /// How many gaps later the first of them is to be seen, and after the next piece the next one: of a piece for two and a half
    /// tokens, three are written ahead, of the one after it two.
    due: f64,
    next_due: f64,
    /// When the last token of all, written ahead or not, is to be seen.
    seen_at: Instant,
}

impl Pace {
    /// No running reply is to stand still for longer than `max_stall`.
    pub(super) fn new(max_stall: Duration) -> Self {
        let (max_stall, now) = (max_stall.as_secs_f64(), Instant::now());
        let ahead =
            Ahead { written: 0, most: 1, first_at: now, gap: None, due: 0.0, next_due: 0.0, seen_at: now };
        Self {
            max_stall,
            reading: Reading::default(),
            step: None,
            stepped_at: now,
            pieces: 0,
            one_waits: true,
            ahead,
        }
    }

    /// So many prompts wait to be read. Where there are several, nothing is written ahead: a token for the few replies that run
    /// costs nearly as much as one for all that will run soon.
    pub(super) fn waiting(&mut self, prompts: usize) {
        self.one_waits = prompts < 2;
    }

    /// A piece of a prompt was read.
    pub(super) fn read(&mut self, piece: Piece, took: Duration, replies_run: bool) {
        self.reading.took(piece, took);
        self.pieces += 1;
        self.ahead.written = 0;
        if !replies_run {
            self.stepped_at = Instant::now();
        }
    }

    /// The running replies went one step further, while a `piece` waits to be read. Before which moment nobody
    /// is to see it, if they are written ahead.
    pub(super) fn stepped(&mut self, took: Duration, piece: Option<Piece>) -> Option<Instant> {
        let took = took.as_secs_f64();
        let is_longer = self.step.is_some_and(|step| took > step);
        self.step = Some(smoothed(self.step, took, if is_longer { LONGER } else { NEWEST }));
        self.stepped_at = Instant::now();
        self.pieces = 0;
        let before = std::mem::replace(&mut self.ahead.seen_at, self.stepped_at);
        let Some(piece) = piece else {
            (self.ahead.written, self.ahead.next_due) = (0, 0.0);
            return None;
        };
        if self.ahead.written == 0 {
            self.begin_ahead(piece);
        }
        let Ahead { written, first_at, gap, due, .. } = self.ahead;
        self.ahead.written += 1;
        let gap = gap?;
        let latest = first_at + gap.mul_f64(due + f64::from(written) + RESERVE);
        self.ahead.seen_at = (before + gap).min(latest).max(self.stepped_at);
        Some(self.ahead.seen_at)
    }

    /// Whether the running replies go first, while a piece waits to be read. Between two steps of theirs at
    /// least one piece is read, unless they are written ahead; more, as long as nobody stands still too long, if their step takes
    /// more than its share.
    pub(super) fn replies_first(&self, piece: Piece) -> bool {
        if self.pieces == 0 {
            return match self.ahead.written {
                0 => self.tokens_for(piece) > 1.0,
                written => written < self.ahead.most,
            };
        }
        let stalled = self.stepped_at.elapsed().as_secs_f64();
        let too_long = stalled + self.reading.seconds(piece) + self.step() > self.max_stall;
        too_long || self.step() <= REPLIES_SHARE * stalled
    }

    /// How much of a piece may be read in one go while replies run: all of it, or on a slow machine the half, a quarter …
    /// that is read within the longest pause.
    pub(super) fn piece(&self, whole: Piece) -> Piece {
        let mut piece = whole;
        while piece.tokens > SMALLEST_PIECE && self.gap(piece) > self.max_stall {
            piece.tokens = (piece.tokens / 2).max(SMALLEST_PIECE);
        }
        piece
    }

    /// When so many tokens would be read, if nothing else ran.
    pub(super) fn due(&self, tokens: usize) -> Instant {
        let now = Instant::now();
        let reading = Duration::try_from_secs_f64(self.reading.seconds_for(tokens)).unwrap_or_default();
        now.checked_add(reading).unwrap_or(now)
    }

    /// Decides what is written ahead of a piece; it holds until the piece is read.
    fn begin_ahead(&mut self, piece: Piece) {
        let (tokens, due) = (self.tokens_for(piece), self.ahead.next_due);
        let most = (tokens - due).ceil().max(1.0);
        self.ahead.most = most as u32;
        self.ahead.first_at = self.stepped_at;
        let gap = Duration::try_from_secs_f64(MARGIN * self.gap(piece)).unwrap_or_default();
        self.ahead.gap = (tokens > 1.0).then_some(gap);
        (self.ahead.due, self.ahead.next_due) = (due, due + most - tokens);
    }

    /// How many tokens each reply gets for a piece; at least one.
    fn tokens_for(&self, piece: Piece) -> f64 {
        if !self.one_waits {
            return 1.0;
        }
        let share = REPLIES_SHARE * self.reading.seconds(piece) / self.step();
        // A share of no measurement is no number, and is left aside.
        parts(piece).min(share).max(1.0)
    }

    /// Seconds between two tokens of a reply, as its reader sees them, while such pieces are read.
    fn gap(&self, piece: Piece) -> f64 {
        self.reading.seconds(piece) / self.tokens_for(piece) + self.step()
    }

    fn step(&self) -> f64 {
        self.step.unwrap_or(0.0)
    }
}

/// What was measured so far, and what it is with one measurement more.
fn smoothed(before: Option<f64>, measured: f64, weight: f64) -> f64 {
    before.map_or(measured, |before| before + weight * (measured - before))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads 64 tokens in `read` milliseconds and takes a step in `step`.
    fn pace(max_stall: u64, read: u64, step: u64) -> Pace {
        let mut pace = Pace::new(Duration::from_millis(max_stall));
        pace.read(tokens(64), Duration::from_millis(read), false);
        pace.stepped(Duration::from_millis(step), None);
        pace
    }

    /// So many tokens, for each 40 of which a reply gets one.
    fn tokens(tokens: usize) -> Piece {
        Piece { tokens, for_one: 40 }
    }

    /// A step that ended so many milliseconds ago, and pieces since.
    fn after(mut pace: Pace, stalled: u64, pieces: u32) -> Pace {
        pace.stepped_at = Instant::now().checked_sub(Duration::from_millis(stalled)).unwrap();
        pace.pieces = pieces;
        pace
    }

    #[test]
    fn a_prompt_moves_on_between_any_two_steps() {
        assert!(!after(pace(300, 140, 7), 1_000, 0).replies_first(Piece { tokens: 64, for_one: 64 }));
    }

    #[test]
    fn one_cheap_stream_goes_on_after_each_piece() {
        assert!(after(pace(300, 140, 7), 140, 1).replies_first(tokens(64)));
    }

    #[test]
    fn many_streams_give_way_to_a_second_piece_but_not_past_the_longest_pause() {
        assert!(!after(pace(400, 140, 30), 140, 1).replies_first(tokens(64)));
        assert!(after(pace(400, 140, 30), 280, 2).replies_first(tokens(64)));
        assert!(after(pace(300, 140, 30), 140, 1).replies_first(tokens(64)));
    }

    /// Writes ahead of a piece what may be written: the moments at which the tokens are to be seen.
    fn write_ahead(pace: &mut Pace, piece: Piece) -> Vec<Instant> {
        let mut moments = Vec::new();
        while pace.replies_first(piece) && pace.ahead.written >= moments.len() as u32 {
            moments.push(pace.stepped(Duration::from_millis(9), Some(piece)).unwrap());
        }
        moments
    }

    #[test]
    fn cheap_replies_are_written_ahead_and_read_evenly() {
        let mut pace = pace(500, 300, 9);

        let moments = write_ahead(&mut pace, tokens(128));

        let gaps: Vec<_> = moments.windows(2).map(|two| (two[1] - two[0]).as_millis()).collect();
        assert_eq!(gaps, [206, 206, 206], "600 ms for 3.2 tokens, 9 for each, and a margin");
        pace.read(tokens(128), Duration::from_millis(600), true);
        assert!(after(pace, 600, 1).replies_first(tokens(128)), "then they go on");
    }

    #[test]
    fn pieces_for_two_tokens_and_a_half_bring_three_and_two_and_the_gaps_stay_alike() {
        let (mut pace, piece) = (pace(500, 160, 9), tokens(100));
        let gap = Duration::from_secs_f64(MARGIN * 0.109);

        for (written, late) in [(3, 0.0), (2, 0.5), (3, 0.0), (2, 0.5)] {
            let moments = write_ahead(&mut pace, piece);
            assert_eq!(moments.len(), written);
            assert_eq!(
                *moments.last().unwrap(),
                pace.ahead.first_at + gap.mul_f64(late + written as f64 - 0.5)
            );
            pace.read(piece, Duration::from_millis(250), true);
            pace.stepped_at -= Duration::from_millis(250);
        }
    }

    #[test]
    fn a_piece_that_takes_longer_than_expected_is_made_up_for() {
        let (mut pace, piece) = (pace(500, 300, 9), tokens(120));
        write_ahead(&mut pace, piece);
        pace.read(piece, Duration::from_micros(562_500), true);
        let gap = Duration::from_secs_f64(MARGIN * 0.1965);
        let late = Duration::from_millis(60);

        pace.ahead.seen_at -= gap * 3 + late;
        let before = pace.ahead.seen_at;
        let seen_at = pace.stepped(Duration::from_millis(9), Some(piece)).unwrap();

        assert_eq!((seen_at - before).as_millis(), gap.as_millis());
    }

    #[test]
    fn a_step_that_something_held_up_changes_little() {
        let mut pace = pace(500, 350, 9);
        assert_eq!(pace.tokens_for(tokens(128)), 3.2);

        pace.stepped(Duration::from_millis(25), None);

        assert_eq!(pace.tokens_for(tokens(128)), 3.2);
        for _ in 0..100 {
            pace.stepped(Duration::from_millis(60), None);
        }
        assert!(pace.tokens_for(tokens(128)) < 1.3);
    }

    #[test]
    fn nothing_is_written_ahead_while_several_prompts_wait() {
        let mut pace = pace(500, 300, 10);
        let alone = pace.piece(tokens(128)).tokens;

        pace.waiting(2);

        assert_eq!((alone, pace.piece(tokens(128)).tokens), (128, 64));
        assert!(!pace.replies_first(tokens(64)));
        assert_eq!(pace.stepped(Duration::from_millis(10), Some(tokens(64))), None);
    }

    #[test]
    fn a_slow_machine_reads_smaller_pieces_while_replies_run() {
        assert_eq!(pace(300, 140, 7).piece(tokens(64)).tokens, 64);
        assert_eq!(pace(300, 1_000, 40).piece(tokens(64)).tokens, 16);
        assert_eq!(pace(10, 60_000, 40).piece(tokens(64)).tokens, SMALLEST_PIECE);
    }
}
