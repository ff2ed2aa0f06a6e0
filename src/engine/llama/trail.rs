use serde::{Deserialize, Serialize};

/// The tokens that lie in memory one after another, and where computations began.
///
/// What is used again ends at such a beginning: the same prompt then goes through the same computations whether or not a part of
/// it was in memory, and a fixed seed repeats word for word.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Trail {
    tokens: Vec<i32>,
    /// Ascending; the first is 0.
    cuts: Vec<u32>,
}

impl Trail {
    pub(super) fn tokens(&self) -> &[i32] {
        &self.tokens
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Notes tokens that were computed together.
    pub(super) fn extend(&mut self, tokens: &[i32]) {
        // A trail is no longer than a context, whose positions are 32 bits wide.
        self.cuts.extend(u32::try_from(self.tokens.len()));
        self.tokens.extend_from_slice(tokens);
    }

    /// Forgets what comes after the first `length` tokens, which must be a cut.
    pub(super) fn truncate(&mut self, length: usize) {
        self.tokens.truncate(length);
        self.cuts.retain(|&cut| (cut as usize) < length);
    }

    /// How many tokens of a prompt need not be read again. Its last token always is: the reply starts from its outcome.
    ///
    /// A model that cannot forget the end of a sequence (`whole`) goes on from all of it or from nothing.
    pub(super) fn usable(&self, prompt: &[i32], whole: bool) -> usize {
        let common = prompt.iter().zip(&self.tokens).take_while(|(new, old)| new == old).count();
        let most = common.min(prompt.len().saturating_sub(1));
        if most == self.tokens.len() {
            return most;
        }
        match self.cuts.partition_point(|&cut| cut as usize <= most) {
            _ if whole => 0,
            0 => 0,
            cuts => self.cuts[cuts - 1] as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read as 0..4, 4..8, then 8 and 9 one by one.
    fn trail() -> Trail {
        let mut trail = Trail::default();
        trail.extend(&[0, 1, 2, 3]);
        trail.extend(&[4, 5, 6, 7]);
        trail.extend(&[8]);
        trail.extend(&[9]);
        trail
    }

    #[test]
    fn the_next_turn_goes_on_at_the_end() {
        assert_eq!(trail().usable(&(0..20).collect::<Vec<_>>(), false), 10);
        assert_eq!(trail().usable(&(0..20).collect::<Vec<_>>(), true), 10);
    }

    #[test]
    fn an_edit_goes_back_to_where_a_computation_began() {
        assert_eq!(trail().usable(&[0, 1, 2, 3, 4, 5, 99], false), 4);
        assert_eq!(trail().usable(&[0, 1, 99], false), 0);
        assert_eq!(trail().usable(&[0, 1, 2, 3, 4, 5, 99], true), 0);
    }

    #[test]
    fn the_same_prompt_again_reads_its_last_piece_again() {
        assert_eq!(trail().usable(&(0..8).collect::<Vec<_>>(), false), 4);
        assert_eq!(trail().usable(&(0..10).collect::<Vec<_>>(), false), 9);
        assert_eq!(trail().usable(&[0], false), 0);
        assert_eq!(trail().usable(&[], false), 0);
    }

    #[test]
    fn what_was_forgotten_is_not_used() {
        let mut trail = trail();
        trail.truncate(8);

        assert_eq!((trail.len(), trail.usable(&(0..20).collect::<Vec<_>>(), false)), (8, 8));
    }
}
