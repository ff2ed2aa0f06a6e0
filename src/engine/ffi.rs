//! Calls into llama.cpp that llama_cpp_2 does not wrap, or leaves to its caller; the engine's only `unsafe`.
//!
//! Invariant: what leaves this file is safe to use, whatever stands in a model file. llama.cpp's own parser has checked a
//! header before anything is read from it, and every index handed back to llama.cpp came from it.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::session::LlamaStateSeqFlags;
use llama_cpp_sys_2 as sys;

// --- The header of a GGUF file ---

/// The metadata of one GGUF file and the list of its tensors, without their weights.
pub(super) struct Gguf {
    raw: NonNull<sys::gguf_context>,
}

/// A tensor as the header names it.
pub(super) struct Tensor {
    /// ggml's name of its type, in lower case: `q8_0`, `q4_k`, `f16` …
    pub(super) kind: String,
    /// Numbers it holds.
    pub(super) values: u64,
    /// What they take in the file.
    pub(super) bytes: u64,
}

impl Gguf {
    /// Reads the header; none if the file cannot be read or is damaged, which llama.cpp's log explains.
    pub(super) fn open(file: &Path) -> Option<Self> {
        let file = c_path(file)?;
        let params = sys::gguf_init_params { no_alloc: true, ctx: ptr::null_mut() };
        // SAFETY: the path is a C string that outlives the call, and without a `ctx` only the header is read.
        let raw = unsafe { sys::gguf_init_from_file(file.as_ptr(), params) };
        NonNull::new(raw).map(|raw| Self { raw })
    }

    /// A text of the metadata.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        let key = self.find(key)?;
        // SAFETY: `key` exists, and the type is checked before the value is read; llama.cpp ends its texts with a zero.
        unsafe {
            let is_text = sys::gguf_get_kv_type(self.raw.as_ptr(), key) == sys::GGUF_TYPE_STRING;
            is_text.then(|| text(sys::gguf_get_val_str(self.raw.as_ptr(), key)))
        }
    }

    /// A whole number of the metadata, or an array of them (one for each layer, for example); none for anything else.
    pub(super) fn numbers(&self, key: &str) -> Option<Vec<u64>> {
        let key = self.find(key)?;
        let raw = self.raw.as_ptr();
        // SAFETY: `key` exists. The type is known to be one of whole numbers before the data is asked for, which is then
        // `count` values of that type, at no particular alignment, and lives as long as `self`.
        unsafe {
            let outer = sys::gguf_get_kv_type(raw, key);
            let (kind, count) = match outer {
                sys::GGUF_TYPE_ARRAY => (sys::gguf_get_arr_type(raw, key), sys::gguf_get_arr_n(raw, key)),
                kind => (kind, 1),
            };
            match kind {
                sys::GGUF_TYPE_UINT8 | sys::GGUF_TYPE_BOOL => numbers::<u8>(self.data(outer, key), count),
                sys::GGUF_TYPE_INT8 => numbers::<i8>(self.data(outer, key), count),
                sys::GGUF_TYPE_UINT16 => numbers::<u16>(self.data(outer, key), count),
                sys::GGUF_TYPE_INT16 => numbers::<i16>(self.data(outer, key), count),
                sys::GGUF_TYPE_UINT32 => numbers::<u32>(self.data(outer, key), count),
                sys::GGUF_TYPE_INT32 => numbers::<i32>(self.data(outer, key), count),
                sys::GGUF_TYPE_UINT64 => numbers::<u64>(self.data(outer, key), count),
                sys::GGUF_TYPE_INT64 => numbers::<i64>(self.data(outer, key), count),
                _ => None,
            }
        }
    }

    /// Every tensor of the file.
    pub(super) fn tensors(&self) -> Vec<Tensor> {
        let raw = self.raw.as_ptr();
        // SAFETY: `index` is below the number of tensors. A type's name is a static text, and the four dimensions live as
        // long as `self`; the parser has checked that their product fits.
        unsafe {
            (0..sys::gguf_get_n_tensors(raw))
                .map(|index| Tensor {
                    kind: text(sys::ggml_type_name(sys::gguf_get_tensor_type(raw, index))).to_lowercase(),
                    values: (*sys::gguf_get_tensor_ne(raw, index).cast::<[i64; 4]>())
                        .iter()
                        .fold(1, |product: u64, &length| product.saturating_mul(length.unsigned_abs())),
                    bytes: sys::gguf_get_tensor_size(raw, index) as u64,
                })
                .collect()
        }
    }

    fn find(&self, key: &str) -> Option<i64> {
        let key = CString::new(key).ok()?;
        // SAFETY: `key` is a C string that outlives the call.
        let found = unsafe { sys::gguf_find_key(self.raw.as_ptr(), key.as_ptr()) };
        (found >= 0).then_some(found)
    }

    /// # Safety
    /// `key` must exist with the type `outer`, and not hold texts.
    unsafe fn data(&self, outer: sys::gguf_type, key: i64) -> *const std::ffi::c_void {
        // SAFETY: what the caller promises.
        unsafe {
            match outer {
                sys::GGUF_TYPE_ARRAY => sys::gguf_get_arr_data(self.raw.as_ptr(), key),
                _ => sys::gguf_get_val_data(self.raw.as_ptr(), key),
            }
        }
    }
}

impl Drop for Gguf {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `gguf_init_from_file`, and nothing borrowed from it is left.
        unsafe { sys::gguf_free(self.raw.as_ptr()) }
    }
}

/// # Safety
/// `data` must point to `count` values of the type `T`, or `count` be zero.
unsafe fn numbers<T: TryInto<u64>>(data: *const std::ffi::c_void, count: usize) -> Option<Vec<u64>> {
    let data = data.cast::<T>();
    // SAFETY: what the caller promises.
    (0..count).map(|index| unsafe { data.add(index).read_unaligned() }.try_into().ok()).collect()
}

// --- Quantizing ---

/// A kind of file that llama.cpp's quantizer can write.
pub(super) type FileType = sys::llama_ftype;

/// The kinds that are offered, under the names that people know them by.
pub(super) const FILE_TYPES: [(&str, FileType); 10] = [
    ("q8_0", sys::LLAMA_FTYPE_MOSTLY_Q8_0),
    ("q6_k", sys::LLAMA_FTYPE_MOSTLY_Q6_K),
    ("q5_k_m", sys::LLAMA_FTYPE_MOSTLY_Q5_K_M),
    ("q4_k_m", sys::LLAMA_FTYPE_MOSTLY_Q4_K_M),
    ("q4_k_s", sys::LLAMA_FTYPE_MOSTLY_Q4_K_S),
    ("q4_0", sys::LLAMA_FTYPE_MOSTLY_Q4_0),
    ("iq4_nl", sys::LLAMA_FTYPE_MOSTLY_IQ4_NL),
    ("q3_k_m", sys::LLAMA_FTYPE_MOSTLY_Q3_K_M),
    ("f16", sys::LLAMA_FTYPE_MOSTLY_F16),
    ("bf16", sys::LLAMA_FTYPE_MOSTLY_BF16),
];

/// Writes `from` as `kind` to `to`, which it overwrites; blocks for as long as that takes. A `rehearsal` writes nothing
/// and logs what would come out. Whether it succeeded: llama.cpp's log, on this thread, has the reason.
pub(super) fn quantize(from: &Path, to: &Path, kind: FileType, rehearsal: bool) -> bool {
    let (Some(from), Some(to)) = (c_path(from), c_path(to)) else { return false };
    // SAFETY: the defaults are plain numbers and null pointers, which mean "not given"; both paths are C strings that
    // outlive the call. Errors are caught on the other side and become a number.
    unsafe {
        let params = sys::llama_model_quantize_params {
            ftype: kind,
            allow_requantize: true,
            dry_run: rehearsal,
            ..sys::llama_model_quantize_default_params()
        };
        sys::llama_model_quantize(from.as_ptr(), to.as_ptr(), &raw const params) == 0
    }
}

// --- The state of a sequence ---

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

// --- The processor ---

/// What the loaded backends can use, as llama.cpp prints it: `CPU : AVX2 = 1 | REPACK = 1 | …`. The backends must have
/// been initialized.
pub(super) fn system_info() -> &'static str {
    static INFO: OnceLock<String> = OnceLock::new();
    // SAFETY: llama.cpp hands out one buffer that its next call rewrites; the lock lets one thread make the only call.
    INFO.get_or_init(|| unsafe { text(sys::llama_print_system_info()) })
}

// --- Texts ---

/// # Safety
/// `text` must be null or end with a zero.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: what the caller promises.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// None for a path that C cannot name.
fn c_path(path: &Path) -> Option<CString> {
    CString::new(path.as_os_str().as_encoded_bytes()).ok()
}
