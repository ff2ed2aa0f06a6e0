use llama_cpp_2::context::LlamaContext;

/// llama.cpp's number of a sequence; there are at most 256.
pub(super) fn id(sequence: usize) -> i32 {
    i32::try_from(sequence).unwrap_or(i32::MAX)
}

/// Forgets a sequence from a position on; false where the model cannot forget only a part.
pub(super) fn forget_cells(context: &mut LlamaContext<'_>, sequence: usize, from: usize) -> bool {
    let from = u32::try_from(from).ok().filter(|&from| from > 0);
    let sequence = u32::try_from(sequence).ok();
    matches!(context.clear_kv_cache_seq(sequence, from, None), Ok(true))
}

/// Lets a sequence share the first `length` cells of another; whether it does.
pub(super) fn copy_cells(context: &mut LlamaContext<'_>, from: usize, to: usize, length: usize) -> bool {
    u32::try_from(length).is_ok_and(|end| context.kv_cache_seq_cp(id(from), id(to), None, Some(end)).is_ok())
}
