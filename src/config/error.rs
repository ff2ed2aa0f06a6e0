use figment::error::Kind;
use figment::value::Value;
use figment::{Figment, Metadata, Profile, Source};

/// Why the configuration is refused: one sentence with file, key, what is allowed and the nearest right key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    /// A sentence of our own.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// Puts figment's first error into a sentence.
    pub fn from_figment(figment: &Figment, error: figment::Error) -> Self {
        let path = error.path.iter().rev().cloned().collect::<Vec<_>>().join(".");
        let metadata = error.metadata.clone().or_else(|| figment.find_metadata(&path).cloned());
        let place = place(metadata.as_ref());
        let profile = profile(figment, &path);
        let (table, key) = path.rsplit_once('.').unwrap_or(("", &path));
        let whole = |table: &str| match table {
            "" => format!("[{profile}]"),
            table => format!("[{profile}.{table}]"),
        };
        Self(match error.kind {
            Kind::UnknownField(unknown, expected) => {
                let table = if key == unknown { table } else { &path };
                unknown_key(&place, &whole(table), &unknown, expected)
            }
            Kind::UnknownVariant(found, expected) => {
                format!(
                    "{place}: {} {key} must be one of {}, not \"{found}\".",
                    whole(table),
                    expected.join(", ")
                )
            }
            Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
                format!("{place}: {} {key} must be {expected}, not {found}.", whole(table))
            }
            kind => format!("{place}: {} {key}: {kind}.", whole(table)),
        })
    }
}

/// The sentence for a value that has the right type and is out of its range; `table` is empty for what stands beside the
/// tables.
pub(super) fn out_of_range(figment: &Figment, table: &str, key: &str, why: &str) -> ConfigError {
    let (path, of_table) = match table {
        "" => (key.to_owned(), String::new()),
        table => (format!("{table}.{key}"), format!(".{table}")),
    };
    let place = place(figment.find_metadata(&path));
    ConfigError(format!("{place}: [{}{of_table}] {key} {why}.", profile(figment, &path)))
}

/// Refuses a table or key that nobody reads: it would otherwise be ignored without a word.
pub(super) fn check_top_level(figment: &Figment, ours: &[&str], known: &[&str]) -> Result<(), ConfigError> {
    // A table without a profile before its name is taken for a profile of that name.
    if let Some(table) = figment.profiles().find(|profile| ours.contains(&profile.as_str().as_str())) {
        return Err(ConfigError(format!("Rocket.toml: write [default.{table}] in place of [{table}].")));
    }
    let Ok(Value::Dict(_, dict)) = figment.find_value("") else { return Ok(()) };
    match dict.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => {
            let place = place(figment.find_metadata(key));
            Err(ConfigError(unknown_key(&place, &format!("[{}]", profile(figment, key)), key, known)))
        }
        None => Ok(()),
    }
}

fn unknown_key(place: &str, table: &str, unknown: &str, expected: &[&str]) -> String {
    let nearest = expected
        .iter()
        .map(|key| (strsim::damerau_levenshtein(key, unknown), key))
        .min()
        .filter(|(distance, key)| *distance <= key.len().max(4) / 2);
    match nearest {
        Some((_, key)) => format!("{place}: {table} has no key \"{unknown}\"; did you mean \"{key}\"?"),
        None => format!("{place}: {table} has no key \"{unknown}\"; it has {}.", expected.join(", ")),
    }
}

/// The profile in which a value stands; what the environment sets stands in every profile.
fn profile(figment: &Figment, path: &str) -> Profile {
    let found = figment.find_value(path).ok().and_then(|value| value.tag().profile());
    found.filter(|profile| *profile != Profile::Global).unwrap_or(Profile::Default)
}

/// Where a value came from, in words.
fn place(metadata: Option<&Metadata>) -> String {
    match metadata.map(|m| (&m.source, &m.name)) {
        Some((Some(Source::File(path)), _)) => path
            .file_name()
            .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned()),
        Some((_, name)) if name.contains("environment") => "environment".into(),
        Some((_, name)) => name.to_string(),
        None => "configuration".into(),
    }
}
