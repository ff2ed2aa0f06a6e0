use super::sizes::Shape;
use crate::engine::backend::Piece;

/// Tokens of a prompt that are computed at once on a GPU.
const GPU: u32 = 512;

/// … and on a CPU. llama.cpp's flash attention works there on tiles of 64 tokens, so fewer are slow. More are a little faster,
/// where its parts, a quarter of what falls on a thread, do not end where tiles do (a model with 9 heads gains a tenth), but
/// whoever comes meanwhile waits longer.
const FLASH: [u32; 3] = [256, 128, 64];

/// … and on a CPU without flash attention. Of 256 cells llama.cpp computes none or all, so pieces end where these do, or at a
/// half or a quarter of them.
const PLAIN: [u32; 2] = [128, 64];

/// A piece this short is not worth a computation of its own, where it can be read with the next one.
pub(super) const REST: u32 = 32;

/// Tokens at the beginning of a prompt for which a running reply gets one more.
const FOR_ONE: u32 = 70;

/// Parameters times tokens that a slow core computes in about a second; a piece of a prompt takes no longer.
const WORK: u64 = 20_000_000_000;

/// How a prompt is cut into pieces, in tokens. Only the configuration, the model and the place in the prompt decide on that, so that
/// a prompt goes through the same computations whatever else runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pieces {
    usual: u32,
    /// Behind so many tokens a token takes twice as long as the first. None where all take about as long.
    doubled_behind: Option<u64>,
}

impl Pieces {
    /// Pieces of so many tokens.
    pub(super) fn alike(tokens: u32) -> Self {
        Self { usual: tokens, doubled_behind: None }
    }

    pub(super) fn for_a_gpu() -> Self {
        Self::alike(GPU)
    }

    /// For a CPU with so many threads that computes flash attention.
    pub(super) fn with_flash_attention(shape: Shape, threads: u32) -> Self {
        Self::alike(usual(&FLASH, shape, threads))
    }

    /// For a CPU that computes plain attention. A token takes 2 operations for each parameter, and for each token before it 4 in
    /// each layer for each number that the layer is given.
    pub(super) fn with_plain_attention(shape: Shape, threads: u32) -> Self {
        let Shape { parameters, n_layer, n_embd, .. } = shape;
        let for_one_before = 4 * u64::from(n_layer) * u64::from(n_embd);
        let doubled_behind = Some(2 * parameters / for_one_before.max(1));
        Self { usual: usual(&PLAIN, shape, threads), doubled_behind }
    }

    /// No piece is longer.
    pub(super) fn longest(self) -> u32 {
        if self.doubled_behind.is_some() { self.usual + REST } else { self.usual }
    }

    /// The one that begins behind `done` tokens.
    pub(super) fn at(self, done: usize) -> Piece {
        let (usual, for_one) = (self.usual as usize, FOR_ONE as usize);
        let Some(doubled_behind) = self.doubled_behind else { return Piece { tokens: usual, for_one } };
        let doubled_behind = usize::try_from(doubled_behind).unwrap_or(usize::MAX).max(1);
        let rest = usual - done % usual;
        let tokens = if rest > REST as usize { rest } else { rest + usual };
        let for_one = for_one.saturating_mul(doubled_behind) / doubled_behind.saturating_add(done);
        Piece { tokens, for_one: for_one.max(1) }
    }
}

/// The first of `pieces` that takes no longer than a second, or the last.
fn usual(pieces: &[u32], shape: Shape, threads: u32) -> u32 {
    let in_a_second = WORK.saturating_mul(threads.into()) / shape.parameters.max(1);
    let fits = |piece: &&u32| u64::from(**piece) <= in_a_second;
    pieces.iter().find(fits).or(pieces.last()).copied().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(parameters: u64, n_layer: u32, n_embd: u32) -> Shape {
        Shape { n_ctx_train: 8_192, parameters, n_layer, n_embd }
    }

    fn small() -> Shape {
        shape(134_515_008, 30, 576)
    }

    /// Where the pieces of a prompt end, of which the first `done` tokens are in memory.
    fn ends(pieces: Pieces, done: usize, prompt: usize) -> Vec<usize> {
        let next = |done: &usize| (*done < prompt).then(|| done + pieces.at(*done).tokens);
        std::iter::successors(next(&done), next).collect()
    }

    #[test]
    fn without_flash_attention_pieces_end_where_cells_do_wherever_they_begin() {
        let pieces = Pieces::with_plain_attention(small(), 2);

        assert_eq!(ends(pieces, 0, 500), [128, 256, 384, 512]);
        assert_eq!(ends(pieces, 200, 500), [256, 384, 512]);
        assert_eq!(ends(pieces, 230, 500), [384, 512]);
        let longest = (0..1_000).map(|done| pieces.at(done).tokens).max();
        assert_eq!(longest, Some(pieces.longest() as usize));
    }

    /// What a piece comes to for each token of a reply that is written meanwhile, in tokens at the beginning of the prompt.
    #[test]
    fn a_long_prompt_keeps_a_running_reply_waiting_evenly() {
        let pieces = Pieces::with_plain_attention(small(), 2);
        let doubled_behind = pieces.doubled_behind.unwrap() as f64;

        let waits = (0..1_700).step_by(128).map(|done| {
            let Piece { tokens, for_one } = pieces.at(done);
            let work = tokens as f64 * (1.0 + (done + tokens / 2) as f64 / doubled_behind);
            work * for_one as f64 / tokens as f64
        });

        let (least, most) =
            waits.fold((f64::MAX, 0.0_f64), |(least, most), wait| (wait.min(least), wait.max(most)));
        assert!(least > 69.0 && most < 72.0, "{least} to {most}");
    }

    #[test]
    fn a_large_model_is_read_in_smaller_pieces() {
        let large = Pieces::with_plain_attention(shape(8_030_000_000, 32, 4_096), 16);

        assert_eq!(ends(large, 0, 200), [64, 128, 192, 256]);
    }

    #[test]
    fn what_the_operator_wants_is_the_same_everywhere() {
        assert_eq!([0, 8_000].map(|done| Pieces::alike(16).at(done).tokens), [16, 16]);
    }

    #[test]
    fn with_flash_attention_a_small_model_is_read_in_larger_pieces() {
        let piece = |parameters, threads| {
            Pieces::with_flash_attention(shape(parameters, 32, 4_096), threads).longest()
        };

        assert_eq!(piece(135_000_000, 2), 256);
        assert_eq!(piece(1_500_000_000, 16), 128);
        assert_eq!(piece(1_500_000_000, 4), 64);
        assert_eq!(piece(70_000_000_000, 4), 64);
    }
}
