//! What people chose for a plugin, over what it declares: the settings with which it is called, and who goes without it.

use std::ops::Deref;
use std::sync::Arc;

use rhai::Dynamic;

use super::plugin::Compiled;
use super::set::{Chain, Member, PluginSet};
use crate::domain::{OperatorChoices, PersonChoices, SettingValues};

/// What stands in a secret's place where nobody should see it.
pub(super) const HIDDEN: &str = "[secret]";

/// A plugin as it is called: compiled once, with the settings of one moment. Another choice makes another one of these, which
/// shares code and breaker with it; a reply keeps the one with which it began.
pub(super) struct Plugin {
    compiled: Arc<Compiled>,
    /// What the operator set on its form.
    pub(super) operator: Arc<OperatorChoices>,
    pub(super) settings: Dynamic,
    pub(super) user_settings: Dynamic,
    /// The texts of its secrets.
    pub(super) secrets: Arc<[String]>,
}

impl Deref for Plugin {
    type Target = Compiled;

    fn deref(&self) -> &Compiled {
        &self.compiled
    }
}

impl Plugin {
    /// The plugin as nobody set anything on a form.
    pub(super) fn of(compiled: Compiled) -> Self {
        let user_settings =
            compiled.manifest.user_settings.values(&SettingValues::new(), &SettingValues::new());
        Self::with(Arc::new(compiled), Arc::default(), user_settings)
    }

    /// The plugin with what the operator chose. What no longer fits is left out and logged.
    pub(super) fn with_operator(&self, choices: OperatorChoices) -> Self {
        for (setting, must) in self.manifest.settings.misfits(&choices.settings) {
            tracing::warn!(
                plugin = self.id,
                setting,
                "what is set on its form no longer fits: it must be {must}; until it is set anew, Rocket.toml \
                 or the default holds"
            );
        }
        Self::with(self.compiled.clone(), Arc::new(choices), self.user_settings.clone())
    }

    /// The plugin with a person's own settings.
    fn with_person(&self, chosen: &SettingValues) -> Self {
        for (setting, must) in self.manifest.user_settings.misfits(chosen) {
            tracing::debug!(plugin = self.id, setting, "what a person set no longer fits: it must be {must}");
        }
        Self {
            compiled: self.compiled.clone(),
            operator: self.operator.clone(),
            settings: self.settings.clone(),
            user_settings: self.manifest.user_settings.values(&SettingValues::new(), chosen),
            secrets: self.secrets.clone(),
        }
    }

    fn with(compiled: Arc<Compiled>, operator: Arc<OperatorChoices>, user_settings: Dynamic) -> Self {
        let settings = compiled.manifest.settings.values(&compiled.file, &operator.settings);
        let secrets = match settings.as_map_ref() {
            Err(_) => Vec::new(),
            Ok(settings) => {
                let text = |name| settings.get(name)?.clone().into_string().ok();
                compiled.manifest.settings.secrets().filter_map(text).filter(|it| !it.is_empty()).collect()
            }
        };
        Self { compiled, operator, settings, user_settings, secrets: secrets.into() }
    }

    /// The plugin with something else in the place of its secrets, for where its work is shown.
    pub(super) fn without_secrets(mut self) -> Self {
        let names: Vec<String> = self.manifest.settings.secrets().map(str::to_owned).collect();
        if let Some(mut settings) = self.settings.write_lock::<rhai::Map>() {
            for name in names {
                if let Some(secret) = settings.get_mut(name.as_str())
                    && secret.as_immutable_string_ref().is_ok_and(|text| !text.is_empty())
                {
                    *secret = HIDDEN.into();
                }
            }
        }
        self.secrets = Arc::default();
        self
    }

    /// Its settings and user settings as nobody has set them.
    pub(super) fn defaults(&self) -> (Dynamic, Dynamic) {
        let nothing = SettingValues::new();
        let values = |settings: &super::settings::Settings| settings.values(&nothing, &nothing);
        (values(&self.manifest.settings), values(&self.manifest.user_settings))
    }

    /// Whether what it takes away or puts in is nobody's to read afterwards: it says so, or it knows a secret.
    pub(super) fn is_sensitive(&self) -> bool {
        self.manifest.sensitive || !self.secrets.is_empty()
    }

    /// Whether people may go without it: the operator lets them, and it may be skipped.
    pub(super) fn is_optional(&self) -> bool {
        self.operator.optional && !self.is_closed()
    }
}

impl PluginSet {
    /// The plugins as one person has them: without those that they turned off and may turn off, and with their own settings.
    /// Nothing is copied for somebody who chose nothing.
    pub fn for_person(self: &Arc<Self>, choices: &PersonChoices) -> Arc<Self> {
        if choices.is_empty() {
            return self.clone();
        }
        let theirs = |member: &Member| match member {
            Member::Refusing { .. } => Some(member.clone()),
            Member::Loaded(plugin) if plugin.is_optional() && choices.off.contains(&plugin.id) => None,
            Member::Loaded(plugin) => Some(match choices.settings.get(&plugin.id) {
                Some(chosen) => Member::Loaded(Arc::new(plugin.with_person(chosen))),
                None => member.clone(),
            }),
        };
        let members = self.chain.members.iter().filter_map(theirs).collect();
        Arc::new(Self { chain: Arc::new(Chain { sandbox: self.chain.sandbox.clone(), members }) })
    }

    /// The plugins that people may turn off: id, name and description, in their order.
    pub fn optional(&self) -> impl Iterator<Item = [&str; 3]> {
        let optional = self.chain.loaded().filter(|plugin| plugin.is_optional());
        optional.map(|it| [it.id.as_str(), it.manifest.name.as_str(), it.manifest.description.as_str()])
    }
}
