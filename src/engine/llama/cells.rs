use llama_cpp_2::context::LlamaContext;

use crate::engine::ffi;

/// The context and its cells, each of which remembers one token of one or more sequences.
///
/// Where every sequence has cells of its own, computing is faster on a CPU: attention passes over no cell of another sequence.
/// Where all share one memory, conversations of any length fit beside each other, and a copy costs no memory.
pub(super) struct Cells<'model> {
    context: LlamaContext<'model>,
    operator: Operator,
}

/// How the operator's beginning of every prompt is kept.
enum Operator {
    /// Sequences have cells of their own: as bytes, empty until there are some.
    Bytes(Vec<u8>),
    /// Sequences share one memory: in a sequence.
    Sequence(usize),
}

impl<'model> Cells<'model> {
    /// Cells of a context with one memory for all, of which the sequence `operator` is no request's.
    pub(super) fn shared(context: LlamaContext<'model>, operator: usize) -> Self {
        Self { context, operator: Operator::Sequence(operator) }
    }

    /// Cells of a context with a memory for each sequence.
    pub(super) fn separate(context: LlamaContext<'model>) -> Self {
        Self { context, operator: Operator::Bytes(Vec::new()) }
    }

    pub(super) fn are_shared(&self) -> bool {
        matches!(self.operator, Operator::Sequence(_))
    }

    pub(super) fn context(&mut self) -> &mut LlamaContext<'model> {
        &mut self.context
    }

    /// Forgets a sequence from a position on; false where the model cannot forget only a part.
    pub(super) fn forget(&mut self, sequence: usize, from: usize) -> bool {
        let from = u32::try_from(from).ok().filter(|&from| from > 0);
        let sequence = u32::try_from(sequence).ok();
        matches!(self.context.clear_kv_cache_seq(sequence, from, None), Ok(true))
    }

    /// Everything that is remembered of a sequence, as bytes.
    pub(super) fn save(&self, sequence: usize) -> Option<Vec<u8>> {
        ffi::save_sequence(&self.context, id(sequence))
    }

    /// Puts into an empty sequence what was saved; whether llama.cpp took it.
    pub(super) fn restore(&mut self, sequence: usize, state: &[u8]) -> bool {
        ffi::restore_sequence(&mut self.context, id(sequence), state)
    }

    /// Puts all of one sequence into an empty one; whether it worked.
    pub(super) fn copy(&mut self, from: usize, to: usize) -> bool {
        if self.are_shared() {
            return self.context.kv_cache_seq_cp(id(from), id(to), None, None).is_ok();
        }
        self.save(from).is_some_and(|state| self.restore(to, &state))
    }

    /// Keeps all of a sequence as the operator's beginning; whether it worked.
    pub(super) fn keep_operator(&mut self, from: usize) -> bool {
        match self.operator {
            Operator::Sequence(operator) => self.copy(from, operator),
            Operator::Bytes(_) => {
                let state = self.save(from);
                let saved = state.is_some();
                self.operator = Operator::Bytes(state.unwrap_or_default());
                saved
            }
        }
    }

    /// Puts the operator's beginning into an empty sequence; whether it worked.
    pub(super) fn give_operator(&mut self, to: usize) -> bool {
        match &self.operator {
            Operator::Sequence(operator) => self.copy(*operator, to),
            Operator::Bytes(state) => ffi::restore_sequence(&mut self.context, id(to), state),
        }
    }

    pub(super) fn forget_operator(&mut self) {
        match &mut self.operator {
            Operator::Sequence(operator) => {
                let operator = *operator;
                self.forget(operator, 0);
            }
            Operator::Bytes(state) => *state = Vec::new(),
        }
    }
}

/// llama.cpp's number of a sequence; there are at most 256.
pub(super) fn id(sequence: usize) -> i32 {
    i32::try_from(sequence).unwrap_or(i32::MAX)
}
