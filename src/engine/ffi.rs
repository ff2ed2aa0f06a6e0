//! The engine's unsafe calls: those that llama_cpp_2 leaves to its caller.
#![allow(unsafe_code)]

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::session::LlamaStateSeqFlags;

/// Everything that the context remembers of a sequence, as bytes; none if llama.cpp cannot tell.
pub(super) fn save_sequence(context: &LlamaContext<'_>, sequence: i32) -> Option<Vec<u8>> {
    let flags = LlamaStateSeqFlags::empty();
    let size = context.state_seq_get_size_ext(sequence, flags);
    let mut state = Vec::with_capacity(size);
    // SAFETY: the buffer has the `size` bytes that llama.cpp asks for, and the context, which only this thread uses, does not
    // change between the two calls.
    let written = unsafe { context.state_seq_get_data_ext(state.as_mut_ptr(), sequence, flags) };
    if written != size || size == 0 {
        return None;
    }
    // SAFETY: llama.cpp has just written the first `size` bytes, which lie within the capacity.
    unsafe { state.set_len(size) };
    Some(state)
}

/// Puts into an empty sequence what [`save_sequence`] gave; whether llama.cpp took all of it.
///
/// The bytes must be those of the same model, with caches of the same types: the store sees to that. What was cut off or has
/// another shape is refused.
pub(super) fn restore_sequence(context: &mut LlamaContext<'_>, sequence: i32, state: &[u8]) -> bool {
    // SAFETY: the bytes were written by `save_sequence`, in this process or by one with the same fingerprint, into a folder
    // that only the server's account can write; llama.cpp reads within the slice and checks every count and shape.
    unsafe { context.state_seq_set_data_ext(state, sequence, LlamaStateSeqFlags::empty()) }
}
