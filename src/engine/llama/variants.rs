//! The feature `dynamic-backends`: llama.cpp's kernels are libraries, one for each kind of processor (and GPU), and the
//! best of those that lie beside the program is loaded.

use std::path::{Path, PathBuf};

use llama_cpp_2::list_llama_ggml_backend_devices;
use llama_cpp_2::llama_backend::{load_backends, load_backends_from_path};

/// Loads the libraries, before llama.cpp starts: left alone it would also look into the working directory. An error is a
/// sentence.
pub(super) fn load() -> Result<(), String> {
    let program =
        std::env::current_exe().map_err(|error| format!("The program does not find itself: {error}."))?;
    match beside(&program) {
        Some(folder) => load_backends_from_path(&folder),
        // Where cargo built them.
        None => load_backends(),
    }
    match list_llama_ggml_backend_devices().is_empty() {
        false => Ok(()),
        true => Err(format!(
            "The folder lib beside {} is missing or has no kernels for this processor: copy it along with the program.",
            program.display()
        )),
    }
}

/// The folder that travels with the program, if it does. llama_cpp_2 panics at a name that is not UTF-8.
fn beside(program: &Path) -> Option<PathBuf> {
    let folder = program.with_file_name("lib");
    (folder.is_dir() && folder.to_str().is_some()).then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_beside_the_program_come_first() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("fireside");
        assert_eq!(beside(&program), None);

        std::fs::create_dir(folder.path().join("lib")).unwrap();

        assert_eq!(beside(&program), Some(folder.path().join("lib")));
    }
}
