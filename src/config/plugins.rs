use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::PluginSettings;
use super::tables::{Wrong, within};

/// `[default.plugins]`: where scripts lie and what one call of a script may use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PluginsConfig {
    /// Folder of the scripts.
    pub dir: PathBuf,
    /// Ids of plugins that are not called, unless an administrator turned them on.
    pub disabled: Vec<String>,
    /// Longest call of one hook, in milliseconds.
    pub deadline_ms: u64,
    /// Most operations of one call.
    pub max_operations: u64,
    /// Deepest nesting of function calls.
    pub max_call_levels: usize,
    /// Longest string, in bytes.
    pub max_string_bytes: usize,
    /// Longest array.
    pub max_array_len: usize,
    /// Largest map.
    pub max_map_len: usize,
    /// Most memory that one call may allocate, in bytes.
    pub max_memory_bytes: usize,
    /// Largest script file, in bytes.
    pub max_file_bytes: u64,
    /// Most entries that one plugin may keep for everybody, for a person, or for a conversation.
    pub kv_max_keys: u32,
    /// Most bytes of these entries.
    pub kv_max_bytes: u64,
    /// What the operator lets plugins do, by id: of [`PluginsConfig::CAPABILITIES`].
    pub grants: BTreeMap<String, Vec<String>>,
    /// Most times that one call may let the model write.
    pub llm_max_calls: u32,
    /// Most tokens that the model writes each time.
    pub llm_max_tokens: u32,
    /// Longest that a plugin waits for the model each time, in milliseconds; not part of `deadline_ms`.
    pub llm_deadline_ms: u64,
    /// Failures in a row after which a plugin is no longer called.
    pub breaker_failures: u32,
    /// Times that a plugin may have one reply written anew.
    pub max_retries: u32,
    /// Settings of each plugin.
    pub settings: PluginSettings,
}

impl Default for PluginsConfig {
    fn default() -> Self {
        Self {
            dir: "plugins".into(),
            disabled: Vec::new(),
            deadline_ms: 1_000,
            max_operations: 5_000_000,
            max_call_levels: 32,
            max_string_bytes: 4 << 20,
            max_array_len: 100_000,
            max_map_len: 10_000,
            max_memory_bytes: 32 << 20,
            max_file_bytes: 256 << 10,
            kv_max_keys: 1_000,
            kv_max_bytes: 1 << 20,
            grants: [("title".to_owned(), vec!["llm".to_owned()])].into(),
            llm_max_calls: 3,
            llm_max_tokens: 512,
            llm_deadline_ms: 30_000,
            breaker_failures: 3,
            max_retries: 2,
            settings: PluginSettings::new(),
        }
    }
}

impl PluginsConfig {
    /// What a plugin may do only where the operator grants it.
    pub const CAPABILITIES: &[&str] = &["llm"];

    pub(super) fn check(&self) -> Result<(), Wrong> {
        within("deadline_ms", self.deadline_ms, 1, 60_000)?;
        within("max_operations", self.max_operations, 1_000, 1_000_000_000)?;
        within("max_call_levels", self.max_call_levels, 4, 64)?;
        within("max_string_bytes", self.max_string_bytes, 1 << 10, 64 << 20)?;
        within("max_array_len", self.max_array_len, 100, 10_000_000)?;
        within("max_map_len", self.max_map_len, 100, 1_000_000)?;
        within("max_memory_bytes", self.max_memory_bytes, 1 << 20, 1 << 30)?;
        // What nests in a file is walked by recursion, on a stack that a larger one could overflow.
        within("max_file_bytes", self.max_file_bytes, 1 << 10, 1 << 20)?;
        within("max_retries", self.max_retries, 0, 10)?;
        within("kv_max_keys", self.kv_max_keys, 1, 100_000)?;
        within("kv_max_bytes", self.kv_max_bytes, 1 << 10, 16 << 20)?;
        if let Some(other) =
            self.grants.values().flatten().find(|it| !Self::CAPABILITIES.contains(&it.as_str()))
        {
            return Err(("grants", format!("knows \"llm\", not \"{other}\"")));
        }
        within("llm_max_calls", self.llm_max_calls, 1, 100)?;
        within("llm_max_tokens", self.llm_max_tokens, 1, 1_000_000)?;
        within("llm_deadline_ms", self.llm_deadline_ms, 100, 600_000)?;
        within("breaker_failures", self.breaker_failures, 1, 1_000)
    }
}
