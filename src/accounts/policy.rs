//! Which passwords may be chosen: long ones that are not among the first that anybody tries.

use crate::config::AccountsConfig;
use crate::domain::{Invalid, UserName};

/// The most common passwords that are long enough for some configuration, in lower case, one a line.
const COMMON: &str = include_str!("common_passwords.txt");

/// Words that stand on this server's pages, and so come to mind first.
const AT_HAND: [&str; 3] = ["fireside", "password", "username"];

/// The sentence for a password that may not be chosen.
pub(super) fn check(name: &UserName, password: &str, min: usize) -> Result<(), Invalid> {
    let max = AccountsConfig::MAX_PASSWORD_CHARS;
    let sentence = match password.chars().count() {
        n if n < min => format!("A password has at least {min} characters; this one has {n}."),
        n if n > max => format!("A password has at most {max} characters; this one has {n}."),
        _ if is_one_of(&[name.key().as_str()], password) => {
            "The password must differ from the name.".to_owned()
        }
        _ if is_common(password) => {
            "This password is among the first that anybody tries. Choose another one.".to_owned()
        }
        _ => return Ok(()),
    };
    Err(Invalid(sentence))
}

fn is_common(password: &str) -> bool {
    is_one_of(&AT_HAND, password) || COMMON.lines().any(|common| common == password.to_lowercase())
}

/// Whether a password is one of these words, whatever digits and signs stand around it.
fn is_one_of(words: &[&str], password: &str) -> bool {
    let password = password.to_lowercase();
    let bare = password.trim_matches(|c: char| !c.is_alphabetic());
    words.iter().any(|word| [password.as_str(), bare].contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, password: &str) -> bool {
        check(&UserName::parse(name).unwrap(), password, 10).is_err()
    }

    #[test]
    fn s05_what_is_tried_first_is_refused_whatever_stands_around_it() {
        for password in [
            "password1234",
            "Password1234!",
            "1234567890",
            "qwertyuiop",
            "Fireside2026",
            "fireside!!",
            "FIRESIDE123",
            "ada.lovelace",
            "Ada.Lovelace1815",
            "!!ada.lovelace!!",
        ] {
            assert!(refused("ada.lovelace", password), "{password} passed");
        }
        assert!(refused("ada", "ada1234567"));
    }

    #[test]
    fn s05_long_and_unusual_ones_pass_in_any_script() {
        let unicode = "пароль из двухсот байт ".repeat(5);
        assert!(unicode.len() >= 200);
        for password in ["correct horse", "a fireside chat", "ada and charles", &"xy".repeat(32), &unicode] {
            assert!(!refused("ada", password), "{password}");
        }
    }

    #[test]
    fn the_list_is_in_lower_case_and_holds_nothing_that_is_too_short_anyway() {
        assert!(COMMON.lines().all(|common| common == common.to_lowercase() && common.chars().count() >= 8));
    }
}
