use std::fmt;

use rocket::http::RawStr;
use rocket::http::uri::Origin;

use crate::domain::ConversationId;

/// Where a person goes after signing in: a path of this server, whatever the address bar said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextPath(String);

impl NextPath {
    /// Accepts a path of ours; anything that could lead elsewhere becomes `/`.
    pub fn parse(text: &str) -> Self {
        // Browsers read a backslash as a slash, and `//host` as another site.
        let is_ours = text.starts_with('/') && !text.starts_with("//") && !text.contains('\\');
        match Origin::parse(text) {
            Ok(origin) if is_ours => Self::of(&origin),
            _ => Self::default(),
        }
    }

    /// The path that was asked for.
    pub fn of(uri: &Origin<'_>) -> Self {
        let path = uri.path();
        match path.segments().collect::<Vec<_>>()[..] {
            // The only pages besides `/`: everything else below them is a part of one.
            ["c", _]
            | ["c", _, "plugins" | "parameters"]
            | ["c", _, "messages", _, "trace"]
            | ["account"]
            | ["account", "parameters"]
            | ["admin", "plugins"]
            | ["admin", "plugins", _] => Self(path.to_string()),
            _ => Self::default(),
        }
    }

    /// A conversation's page.
    pub fn conversation(id: ConversationId) -> Self {
        Self(format!("/c/{id}"))
    }

    /// The sign-in page that leads back here.
    pub fn login(&self) -> String {
        format!("/login?next={}", RawStr::new(&self.0).percent_encode())
    }
}

impl Default for NextPath {
    fn default() -> Self {
        Self("/".into())
    }
}

impl fmt::Display for NextPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_never_leads_to_another_site() {
        for foreign in [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example/",
            "evil",
            "",
            "/login?next=/",
            "/c/1/messages/2/events",
            "/account/keys",
            "/admin/plugins/clock/try",
        ] {
            assert_eq!(NextPath::parse(foreign), NextPath::default(), "{foreign} passed");
        }
        assert_eq!(NextPath::parse("/c/1?x=2").to_string(), "/c/1");
        assert_eq!(NextPath::parse("/account").to_string(), "/account");
        assert_eq!(NextPath::parse("/admin/plugins/clock").to_string(), "/admin/plugins/clock");
    }

    #[test]
    fn the_sign_in_page_gets_the_path_encoded() {
        assert_eq!(NextPath::parse("/c/1").login(), "/login?next=%2Fc%2F1");
    }
}
