use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::engine::EngineError;

/// Where a model is looked for when none is configured: first the operator's own, then the one that `./run` fetched,
/// which so gives way to any other.
const FOLDERS: [&str; 2] = ["models", "models/default"];

const WAYS: &str = "put one .gguf file into models/, set [default.llm] model in Rocket.toml or CHAT_MODEL_GGUF in the \
    environment, or let ./run fetch the small default model";

/// The model file: the configured one, the only one in `models/`, or the default one. An error is one sentence that names the file
/// and the ways to get a model.
pub(in crate::engine) fn find(configured: &Path) -> Result<PathBuf, EngineError> {
    let file = match configured.as_os_str().is_empty() {
        true => only_one_in(FOLDERS.map(Path::new))?,
        false => configured.into(),
    };
    match magic(&file) {
        Ok(magic) if &magic == b"GGUF" => Ok(file),
        Ok(_) => Err(refused(&file, "is not a GGUF file")),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(refused(&file, "is not a GGUF file")),
        Err(error) => Err(refused(&file, &format!("cannot be read ({error})"))),
    }
}

/// What tells this file from any other, without reading all of it.
pub(super) fn fingerprint(file: &Path) -> std::io::Result<String> {
    let metadata = file.metadata()?;
    let written = metadata.modified()?.duration_since(UNIX_EPOCH).map_err(std::io::Error::other)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("{name} {} {}", metadata.len(), written.as_nanos()))
}

fn refused(file: &Path, why: &str) -> EngineError {
    EngineError::Failed(format!("The model file {} {why}: {WAYS}.", file.display()))
}

fn magic(file: &Path) -> std::io::Result<[u8; 4]> {
    let mut magic = [0; 4];
    File::open(file)?.read_exact(&mut magic)?;
    Ok(magic)
}

/// The only model of the first folder that has any.
fn only_one_in(folders: [&Path; 2]) -> Result<PathBuf, EngineError> {
    let files = folders.map(models_in).into_iter().find(|files| !files.is_empty()).unwrap_or_default();
    match files.as_slice() {
        [] => Err(EngineError::NoModel(format!("There is no model in models/: {WAYS}."))),
        [file] => Ok(file.clone()),
        [first, ..] => Err(EngineError::Failed(format!(
            "There are {} models in models/: name one in [default.llm] model, for example \"{}\".",
            files.len(),
            first.display()
        ))),
    }
}

/// The GGUF files of a folder; a folder that cannot be read has none.
fn models_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf")))
        .filter(|path| is_first_part(path))
        .collect();
    files.sort();
    files
}

/// Of a model in several files (`…-00001-of-00003.gguf`) llama.cpp takes the first and finds the others.
fn is_first_part(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    match stem.rsplit_once("-of-") {
        Some((rest, parts)) if parts.bytes().all(|digit| digit.is_ascii_digit()) => rest.ends_with("-00001"),
        _ => true,
    }
}

/// The files that go on where the first of `parts` ends; none for a model in one file.
pub(super) fn other_parts(first: &Path, parts: u64) -> Vec<PathBuf> {
    let name = first.file_name().unwrap_or_default().to_string_lossy();
    let Some((start, end)) = name.split_once("-00001-of-") else { return Vec::new() };
    // Five digits is what the name has room for.
    (2..=parts.min(99_999)).map(|part| first.with_file_name(format!("{start}-{part:05}-of-{end}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_model_are_found_from_the_first() {
        let first = Path::new("models/a-00001-of-00003.gguf");

        let others = ["models/a-00002-of-00003.gguf", "models/a-00003-of-00003.gguf"].map(PathBuf::from);

        assert_eq!(other_parts(first, 3), others);
        assert!(other_parts(Path::new("models/a.gguf"), 1).is_empty());
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn f08_a_missing_file_and_one_that_is_no_gguf_are_named_with_the_ways_out() {
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
        let none = one.path().join("none");

        assert!(only_one_in([one.path(), two.path()]).unwrap().ends_with("a-00001-of-00002.gguf"));
        assert!(only_one_in([&none, two.path()]).unwrap_err().to_string().starts_with("There are 2 models"));
        assert!(matches!(only_one_in([&none, &none]), Err(EngineError::NoModel(_))));
    }
}
