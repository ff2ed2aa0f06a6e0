//! The cookies of this server. Rocket encrypts them with the secret key; no script of a page reads them.

use rocket::http::{Cookie, CookieJar, SameSite};
use rocket::time::Duration;

use crate::accounts::Accounts;
use crate::config::AccountsConfig;
use crate::domain::{KnownBrowser, SignInId, User};

/// Names a sign-in.
const SIGN_IN: &str = "fireside";

/// Says that a person has signed in here before; it opens nothing.
const BROWSER: &str = "fireside-browser";

/// How long a browser is known.
const KNOWN_DAYS: i64 = 365;

/// The sign-in that this browser's cookie names; none also for a forged one.
pub fn sign_in_id(cookies: &CookieJar<'_>, accounts: &Accounts) -> Option<SignInId> {
    // An id that does not parse names no sign-in.
    cookies.get_private(&name(SIGN_IN, accounts.config()))?.value().parse().ok()
}

/// Whose browser this is known to be.
pub fn known_browser(cookies: &CookieJar<'_>, accounts: &Accounts) -> Option<KnownBrowser> {
    cookies.get_private(&name(BROWSER, accounts.config()))?.value().parse().ok()
}

/// Keeps the browser signed in, and known when it no longer is.
pub fn remember(cookies: &CookieJar<'_>, id: SignInId, user: &User, accounts: &Accounts) {
    let config = accounts.config();
    cookies.add_private(cookie(SIGN_IN, id.to_string(), config.sign_in_days.into(), config));
    cookies.add_private(cookie(BROWSER, KnownBrowser::new(user.id).to_string(), KNOWN_DAYS, config));
}

/// Lets the browser forget its sign-in.
pub fn forget(cookies: &CookieJar<'_>, accounts: &Accounts) {
    cookies.remove_private(cookie(SIGN_IN, String::new(), 0, accounts.config()));
}

fn cookie(base: &str, value: String, days: i64, config: &AccountsConfig) -> Cookie<'static> {
    Cookie::build((name(base, config), value))
        .path("/")
        .same_site(SameSite::Lax)
        .http_only(true)
        .secure(config.secure_cookie)
        .max_age(Duration::days(days))
        .build()
}

/// With the prefix, browsers take the cookie from this host over HTTPS only, and from no other host of its domain.
fn name(base: &str, config: &AccountsConfig) -> String {
    match config.secure_cookie {
        true => format!("__Host-{base}"),
        false => base.to_owned(),
    }
}
