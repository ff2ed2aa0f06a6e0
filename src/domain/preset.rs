use std::fmt;

use super::conversation::one_line;
use super::{Invalid, Parameters, PresetId};

/// Parameters under a name, to be taken over into a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Preset {
    /// Never reused.
    pub id: PresetId,
    /// By which its person knows it; no other of theirs has it.
    pub name: PresetName,
    /// What it sets.
    pub parameters: Parameters,
}

impl Preset {
    /// Most presets of one person.
    pub const MOST: u32 = 50;
}

/// What a person calls a preset: one line, not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresetName(String);

impl PresetName {
    /// Most characters of a name.
    pub const MAX_CHARS: usize = 60;

    /// Accepts a name as typed.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let name = one_line(text);
        match name.chars().count() {
            0 => Err(Invalid("Give the preset a name, such as what it is good for.".into())),
            n if n > Self::MAX_CHARS => Err(Invalid(format!(
                "A preset's name has at most {} characters; this one has {n}.",
                Self::MAX_CHARS
            ))),
            _ => Ok(Self(name)),
        }
    }
}

impl fmt::Display for PresetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
