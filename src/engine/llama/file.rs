use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::engine::EngineError;

/// Where a model is looked for when none is configured.
const FOLDER: &str = "models";

const WAYS: &str = "put one .gguf file into models/, set [default.llm] model in Rocket.toml or CHAT_MODEL_GGUF in the \
    environment, or let ./run fetch the small default model";

/// The model file: the configured one, or the only one in `models/`. An error is one sentence that names the file
/// and the ways to get a model.
pub(in crate::engine) fn find(configured: &Path) -> Result<PathBuf, EngineError> {
    let file =
        if configured.as_os_str().is_empty() { only_one_in(Path::new(FOLDER))? } else { configured.into() };
    match magic(&file) {
        Ok(magic) if &magic == b"GGUF" => Ok(file),
        Ok(_) => Err(refused(&file, "is not a GGUF file")),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(refused(&file, "is not a GGUF file")),
        Err(error) => Err(refused(&file, &format!("cannot be read ({error})"))),
    }
}

fn refused(file: &Path, why: &str) -> EngineError {
    EngineError::Failed(format!("The model file {} {why}: {WAYS}.", file.display()))
}

fn magic(file: &Path) -> std::io::Result<[u8; 4]> {
    let mut magic = [0; 4];
    File::open(file)?.read_exact(&mut magic)?;
    Ok(magic)
}

fn only_one_in(folder: &Path) -> Result<PathBuf, EngineError> {
    let none = || EngineError::NoModel(format!("There is no model in models/: {WAYS}."));
    let entries = std::fs::read_dir(folder).map_err(|_| none())?;
    let mut files: Vec<_> = entries
        .filter_map(|entry| entry.map(|entry| entry.path()).ok())
        .filter(|path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf")))
        .filter(|path| is_first_part(path))
        .collect();
    files.sort();
    match files.as_slice() {
        [] => Err(none()),
        [file] => Ok(file.clone()),
        [first, ..] => Err(EngineError::Failed(format!(
            "There are {} models in models/: name one in [default.llm] model, for example \"{}\".",
            files.len(),
            first.display()
        ))),
    }
}

/// Of a model in several files (`…-00001-of-00003.gguf`) llama.cpp takes the first and finds the others.
fn is_first_part(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    match stem.rsplit_once("-of-") {
        Some((rest, parts)) if parts.bytes().all(|digit| digit.is_ascii_digit()) => rest.ends_with("-00001"),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn a_missing_file_and_one_that_is_no_gguf_are_named_with_the_ways_out() {
        let folder = folder(&[("note.gguf", "hello"), ("short.gguf", "GG")]);

        for name in ["note.gguf", "short.gguf", "none.gguf"] {
            let sentence = find(&folder.path().join(name)).unwrap_err().to_string();

            assert!(sentence.contains(name) && sentence.contains("CHAT_MODEL_GGUF"), "{sentence}");
        }
    }

    #[test]
    fn the_only_model_of_a_folder_is_taken() {
        let one = folder(&[("a-00001-of-00002.gguf", ""), ("a-00002-of-00002.gguf", ""), ("note.txt", "")]);
        let two = folder(&[("a.gguf", ""), ("b.GGUF", "")]);

        assert!(only_one_in(one.path()).unwrap().ends_with("a-00001-of-00002.gguf"));
        assert!(only_one_in(two.path()).unwrap_err().to_string().starts_with("There are 2 models"));
        assert!(matches!(only_one_in(&one.path().join("none")), Err(EngineError::NoModel(_))));
    }
}
