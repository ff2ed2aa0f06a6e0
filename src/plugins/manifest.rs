//! `const PLUGIN = #{…}`: what a plugin says about itself.

use rhai::{Dynamic, Map};

use super::settings::Settings;
use super::value::type_name;
use crate::config::PluginsConfig;

const KEYS: &[&str] = &[
    "name",
    "version",
    "description",
    "api",
    "priority",
    "fail",
    "hold",
    "sensitive",
    "settings",
    "user_settings",
    "capabilities",
];

/// Most characters that `hold` may keep back.
const MOST_HELD: usize = 2_000;

/// What happens to the reply when the plugin fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnFailure {
    /// `fail: "open"`: the plugin is skipped, and the reply carries a mark.
    Skip,
    /// `fail: "closed"`: the request is refused.
    Refuse,
}

/// How much of a reply is kept back from its readers while it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// `hold: n`: the last n characters, for `on_chunk`.
    Chars(usize),
    /// `hold: "reply"`: all of it. Nothing is shown, sent or stored before `on_response` has run.
    Reply,
}

impl Hold {
    /// The characters that `on_chunk` keeps back.
    pub(super) fn chars(self) -> usize {
        match self {
            Self::Chars(count) => count,
            Self::Reply => 0,
        }
    }
}

/// The checked content of `PLUGIN`, with defaults for what it leaves out.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) description: String,
    /// Lower runs first on the way in.
    pub(super) priority: i64,
    pub(super) on_failure: OnFailure,
    pub(super) hold: Hold,
    /// What it takes away or puts in is nobody's to read afterwards.
    pub(super) sensitive: bool,
    /// `settings`: the operator's.
    pub(super) settings: Settings,
    /// `user_settings`: each person's own.
    pub(super) user_settings: Settings,
    /// `capabilities`: what it asks the operator for.
    pub(super) capabilities: Vec<String>,
}

impl Manifest {
    /// The manifest of a plugin that declares none.
    pub(super) fn unnamed(id: &str) -> Self {
        Self {
            name: id.to_owned(),
            version: String::new(),
            description: String::new(),
            priority: 100,
            on_failure: OnFailure::Skip,
            hold: Hold::Chars(0),
            sensitive: false,
            settings: Settings::default(),
            user_settings: Settings::default(),
            capabilities: Vec::new(),
        }
    }

    /// Reads the value of `PLUGIN`; the error is a sentence.
    pub(super) fn parse(id: &str, declared: &Dynamic) -> Result<Self, String> {
        let Ok(declared) = declared.as_map_ref() else {
            return Err(format!("PLUGIN must be a map #{{…}}, not {}", type_name(declared)));
        };
        if let Some(key) = declared.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!("PLUGIN has no key \"{key}\"; it has {}", KEYS.join(", ")));
        }
        let mut manifest = Self::unnamed(id);
        for (key, field) in [
            ("name", &mut manifest.name),
            ("version", &mut manifest.version),
            ("description", &mut manifest.description),
        ] {
            if let Some(text) = text(&declared, key)? {
                *field = text;
            }
        }
        match int(&declared, "api")? {
            None | Some(1) => {}
            Some(other) => return Err(format!("PLUGIN.api must be 1, not {other}")),
        }
        if let Some(priority) = int(&declared, "priority")? {
            manifest.priority = priority;
        }
        manifest.on_failure = match text(&declared, "fail")?.as_deref() {
            None | Some("open") => OnFailure::Skip,
            Some("closed") => OnFailure::Refuse,
            Some(other) => {
                return Err(format!("PLUGIN.fail must be \"open\" or \"closed\", not \"{other}\""));
            }
        };
        manifest.hold = match declared.get("hold") {
            None => Hold::Chars(0),
            Some(hold) => hold_of(hold)
                .ok_or_else(|| format!("PLUGIN.hold must be 0 to {MOST_HELD} or \"reply\", not {hold}"))?,
        };
        if let Some(sensitive) = declared.get("sensitive") {
            let wrong = |found| format!("PLUGIN.sensitive must be true or false, not {found}");
            manifest.sensitive = sensitive.as_bool().map_err(|_| wrong(type_name(sensitive)))?;
        }
        manifest.settings = settings(&declared, "settings")?;
        manifest.user_settings = settings(&declared, "user_settings")?;
        if let Some(name) = manifest.user_settings.secrets().next() {
            // Whoever runs the server could read it, and a script reaches nobody who would ask for it.
            return Err(format!("PLUGIN.user_settings.{name} is a secret: only settings may have one"));
        }
        if let Some(wanted) = declared.get("capabilities") {
            manifest.capabilities = capabilities(wanted)?;
        }
        Ok(manifest)
    }
}

fn settings(declared: &Map, key: &str) -> Result<Settings, String> {
    let Some(settings) = declared.get(key) else { return Ok(Settings::default()) };
    match settings.as_map_ref() {
        Ok(settings) => Settings::parse(&format!("PLUGIN.{key}"), &settings),
        Err(_) => Err(format!("PLUGIN.{key} must be a map #{{…}}, not {}", type_name(settings))),
    }
}

fn hold_of(declared: &Dynamic) -> Option<Hold> {
    if declared.clone().into_string().as_deref() == Ok("reply") {
        return Some(Hold::Reply);
    }
    let chars = usize::try_from(declared.as_int().ok()?).ok()?;
    (chars <= MOST_HELD).then_some(Hold::Chars(chars))
}

fn capabilities(wanted: &Dynamic) -> Result<Vec<String>, String> {
    let known = PluginsConfig::CAPABILITIES;
    let wrong = || format!("PLUGIN.capabilities must be a list of {}", known.join(", "));
    let wanted = wanted.as_array_ref().map_err(|_| wrong())?;
    let text = |it: &Dynamic| it.clone().into_string().ok().filter(|it| known.contains(&it.as_str()));
    wanted.iter().map(|it| text(it).ok_or_else(wrong)).collect()
}

fn text(declared: &Map, key: &str) -> Result<Option<String>, String> {
    let Some(value) = declared.get(key) else { return Ok(None) };
    let found = type_name(value);
    value.clone().into_string().map(Some).map_err(|_| format!("PLUGIN.{key} must be a string, not {found}"))
}

fn int(declared: &Map, key: &str) -> Result<Option<i64>, String> {
    let Some(value) = declared.get(key) else { return Ok(None) };
    value.as_int().map(Some).map_err(|_| format!("PLUGIN.{key} must be an int, not {}", type_name(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::value::from_json;

    fn parse(declared: serde_json::Value) -> Result<Manifest, String> {
        Manifest::parse("demo", &from_json(&declared))
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let manifest = parse(serde_json::json!({"version": "1.2"})).unwrap();

        assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("demo", "1.2"));
        assert_eq!(
            (manifest.priority, manifest.on_failure, manifest.hold),
            (100, OnFailure::Skip, Hold::Chars(0))
        );
    }

    #[test]
    fn each_wrong_key_gets_a_sentence() {
        let sentence = |declared| parse(declared).unwrap_err();

        assert!(
            sentence(serde_json::json!({"nmae": "x"}))
                .starts_with("PLUGIN has no key \"nmae\"; it has name,")
        );
        assert_eq!(sentence(serde_json::json!({"api": 2})), "PLUGIN.api must be 1, not 2");
        assert_eq!(
            sentence(serde_json::json!({"priority": "1"})),
            "PLUGIN.priority must be an int, not string"
        );
        assert_eq!(
            sentence(serde_json::json!({"fail": "shut"})),
            "PLUGIN.fail must be \"open\" or \"closed\", not \"shut\""
        );
        assert_eq!(
            sentence(serde_json::json!({"hold": -1})),
            "PLUGIN.hold must be 0 to 2000 or \"reply\", not -1"
        );
        assert_eq!(
            sentence(serde_json::json!({"sensitive": 1})),
            "PLUGIN.sensitive must be true or false, not int"
        );
        assert_eq!(
            sentence(serde_json::json!({"capabilities": ["net"]})),
            "PLUGIN.capabilities must be a list of llm"
        );
        assert_eq!(
            sentence(serde_json::json!({"user_settings": {"key": {"type": "secret"}}})),
            "PLUGIN.user_settings.key is a secret: only settings may have one"
        );
        assert_eq!(sentence(serde_json::json!([])), "PLUGIN must be a map #{…}, not array");
    }
}
