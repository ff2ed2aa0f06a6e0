use super::EngineError;
use crate::domain::OutOfRange;

/// Longest grammar or schema, in bytes.
const LONGEST: usize = 32 * 1024;

/// Deepest nesting of brackets. llama.cpp reads them by recursion, on the stack of its caller.
const DEEPEST: usize = 48;

/// What a reply must look like, whatever the model would like to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grammar {
    /// A grammar in GBNF, llama.cpp's own notation; its rule `root` is the whole reply.
    Gbnf(String),
    /// A JSON schema; the reply is a JSON value that it describes.
    JsonSchema(String),
}

impl Grammar {
    /// Any JSON object.
    pub fn json_object() -> Self {
        Self::JsonSchema(r#"{"type": "object"}"#.into())
    }

    /// Refuses what would cost llama.cpp too much to read.
    ///
    /// # Errors
    /// [`EngineError::Parameter`] with its name and what is allowed.
    pub fn check(&self) -> Result<(), EngineError> {
        let (key, text) = match self {
            Self::Gbnf(text) => ("grammar", text),
            Self::JsonSchema(text) => ("json_schema", text),
        };
        let wrong = |why: String| Err(EngineError::Parameter(OutOfRange { key, why }));
        if text.len() > LONGEST {
            return wrong(format!("may have {LONGEST} bytes, not {}", text.len()));
        }
        let mut depth = 0_usize;
        for byte in text.bytes() {
            match byte {
                // Brackets in texts count too: that errs on the safe side.
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > DEEPEST {
                return wrong(format!("may nest brackets {DEEPEST} deep, not deeper"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_or_too_deep_is_refused_before_llama_cpp_sees_it() {
        let long = Grammar::Gbnf("a".repeat(LONGEST + 1)).check().unwrap_err();
        let deep = Grammar::JsonSchema("[".repeat(10_000)).check().unwrap_err();

        assert_eq!(long.to_string(), "grammar may have 32768 bytes, not 32769.");
        assert!(deep.to_string().starts_with("json_schema may nest"), "{deep}");
        assert!(Grammar::json_object().check().is_ok());
    }
}
