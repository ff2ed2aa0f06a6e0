use super::sizes::Shape;

/// Tokens of a prompt that are computed at once on a GPU.
const GPU: u32 = 512;

/// … and on a CPU. llama.cpp's flash attention works there on tiles of 64 tokens, so fewer are slow. More are a little faster,
/// where its parts, a quarter of what falls on a thread, do not end where tiles do (a model with 9 heads gains a tenth), but
/// whoever comes meanwhile waits longer.
const FLASH: [u32; 3] = [256, 128, 64];

/// … and on a CPU without flash attention, at most. The scores of more tokens leave the processor's caches.
const PLAIN: [u32; 2] = [160, 80];

/// … and at least, unless the operator wants less: each computation goes through all of the model's weights.
const FEWEST: usize = 32;

/// Kernels compute tokens in blocks of so many.
const BLOCK: usize = 16;

/// How much slower plain attention is on a CPU than the same number of operations with the weights: between 1.3 and 3 times on two
/// kinds of processors (`benches/README.md`).
const ATTENTION_IS_SLOWER: u64 = 2;

/// Parameters times tokens that a slow core computes in about a second; a piece of a prompt takes no longer.
const WORK: u64 = 20_000_000_000;

/// How a prompt is cut into pieces, in tokens. Only the configuration, the model and the place in the prompt decide on that, so that
/// a prompt goes through the same computations whatever else runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pieces {
    longest: u32,
    /// Behind so many tokens a piece is half as long. None where all are alike.
    halved_behind: Option<u64>,
}

impl Pieces {
    /// Pieces of so many tokens.
    pub(super) fn alike(tokens: u32) -> Self {
        Self { longest: tokens, halved_behind: None }
    }

    pub(super) fn for_a_gpu() -> Self {
        Self::alike(GPU)
    }

    /// For a CPU with so many threads that computes flash attention.
    pub(super) fn with_flash_attention(shape: Shape, threads: u32) -> Self {
        Self::alike(longest(&FLASH, shape, threads))
    }

    /// For a CPU that computes plain attention: the later a piece, the shorter, so that each takes about as long. A token takes 2
    /// operations for each parameter, and for each token before it 4 in each layer for each number that the layer is given.
    pub(super) fn with_plain_attention(shape: Shape, threads: u32) -> Self {
        let Shape { parameters, n_layer, n_embd, .. } = shape;
        let for_one_before = 4 * ATTENTION_IS_SLOWER * u64::from(n_layer) * u64::from(n_embd);
        let longest = longest(&PLAIN, shape, threads);
        Self { longest, halved_behind: Some(2 * parameters / for_one_before.max(1)) }
    }

    /// The first one, and no other is longer.
    pub(super) fn longest(self) -> u32 {
        self.longest
    }

    /// The one that begins behind `done` tokens.
    pub(super) fn at(self, done: usize) -> usize {
        let longest = self.longest as usize;
        let Some(halved_behind) = self.halved_behind else { return longest };
        let halved_behind = usize::try_from(halved_behind).unwrap_or(usize::MAX);
        let tokens = longest.saturating_mul(halved_behind) / halved_behind.saturating_add(done).max(1);
        ((tokens + BLOCK / 2) / BLOCK * BLOCK).clamp(FEWEST.min(longest), longest)
    }
}

/// The first of `pieces` that takes no longer than a second, or the last.
fn longest(pieces: &[u32], shape: Shape, threads: u32) -> u32 {
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

    /// What each piece of a prompt comes to: operations, each as slow as those with the weights.
    fn work(pieces: Pieces, shape: Shape, prompt: usize) -> Vec<u64> {
        let (mut done, mut work) = (0, Vec::new());
        while done < prompt {
            let tokens = pieces.at(done);
            let before = (done + tokens / 2) as u64;
            let attention =
                4 * ATTENTION_IS_SLOWER * u64::from(shape.n_layer) * u64::from(shape.n_embd) * before;
            work.push(tokens as u64 * (2 * shape.parameters + attention));
            done += tokens;
        }
        work
    }

    #[test]
    fn without_flash_attention_all_pieces_of_a_long_prompt_take_about_as_long() {
        let small = shape(134_515_008, 30, 576);
        let pieces = Pieces::with_plain_attention(small, 2);

        assert_eq!([0, 400, 900, 1_700].map(|done| pieces.at(done)), [160, 128, 112, 80]);
        let work = work(pieces, small, 1_700);
        let (least, most) = (work.iter().min().unwrap(), work.iter().max().unwrap());
        assert!(most * 100 < least * 140, "{work:?}");
        assert_eq!(pieces.at(8_000), FEWEST);
    }

    #[test]
    fn a_model_with_more_weights_for_each_layer_is_read_evenly_by_itself() {
        let large = Pieces::with_plain_attention(shape(8_030_000_000, 32, 4_096), 16);

        assert_eq!([0, 1_700, 4_000].map(|done| large.at(done)), [80, 80, 64]);
    }

    #[test]
    fn what_the_operator_wants_is_the_same_everywhere() {
        assert_eq!([0, 8_000].map(|done| Pieces::alike(16).at(done)), [16, 16]);
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
