//! What the templates of the account page receive.

use serde::Serialize;

use super::error::WebError;
use super::plugin_form_view::PluginFormView;
use super::views::{UserView, grouped};
use crate::accounts::Accounts;
use crate::chat::{Chat, Taken};
use crate::domain::{ApiKey, KeyName, UnixMillis, User, in_iso, in_words};

/// The page of one's own account, and every part of it.
#[derive(Serialize)]
pub struct AccountView {
    user: UserView,
    keys: Vec<KeyView>,
    max_name_chars: usize,
    min_password_chars: usize,
    plugins: Vec<PluginFormView>,
    /// What is kept and may be kept, in words.
    storage: [String; 2],
    limited: bool,
    said: Said,
}

/// What the page says about what was just done.
#[derive(Default, Serialize)]
pub struct Said {
    /// A new API key, shown this once.
    pub secret: Option<String>,
    /// A key is gone, and with it the button that had the focus.
    pub key_deleted: bool,
    /// Why no key was made.
    pub key_error: Option<String>,
    /// The password is a new one.
    pub password_changed: bool,
    /// Why it is not.
    pub password_error: Option<String>,
    /// What came over from a file.
    pub imported: Option<Taken>,
    /// Why it did not.
    pub import_error: Option<String>,
    /// Browsers that were signed out.
    pub signed_out: Option<u64>,
}

impl AccountView {
    /// Reads what the page shows.
    pub async fn load(accounts: &Accounts, chat: &Chat, user: &User, said: Said) -> Result<Self, WebError> {
        let storage = chat.storage(user).await?;
        Ok(Self {
            user: UserView::new(user),
            storage: [storage.used, storage.limit.unwrap_or_default()].map(in_mib),
            limited: storage.limit.is_some(),
            keys: accounts.keys(user).await?.into_iter().map(KeyView::from).collect(),
            max_name_chars: KeyName::MAX_CHARS,
            min_password_chars: accounts.config().min_password_chars,
            plugins: PluginFormView::of_person(chat, user).await?,
            said,
        })
    }

    /// The page with one form as it was just filled in.
    pub fn with_form(mut self, filled: PluginFormView) -> Self {
        for form in &mut self.plugins {
            if form.plugin == filled.plugin {
                form.clone_from(&filled);
            }
        }
        self
    }
}

fn in_mib(bytes: u64) -> String {
    match bytes >> 20 {
        0 if bytes > 0 => "1".into(),
        mib => grouped(mib),
    }
}

/// One API key.
#[derive(Serialize)]
pub struct KeyView {
    id: String,
    name: String,
    hint: String,
    created: [String; 2],
    last_used: Option<[String; 2]>,
}

impl From<ApiKey> for KeyView {
    fn from(key: ApiKey) -> Self {
        // For machines and for people.
        let both = |time: UnixMillis| [in_iso(time), in_words(time)];
        Self {
            id: key.id.to_string(),
            name: key.name.to_string(),
            hint: key.hint,
            created: both(key.created_at),
            last_used: key.last_used_at.map(both),
        }
    }
}
