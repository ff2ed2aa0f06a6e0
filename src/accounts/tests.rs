use std::net::Ipv4Addr;

use argon2::{Argon2, Params, PasswordHasher};
use tempfile::TempDir;

use super::*;
use crate::domain::{KnownBrowser, UserId};
use crate::store::testing;

const PASSWORD: &str = "correct horse";

/// A browser at home that nobody has signed in with yet.
fn home() -> Visitor {
    at(Ipv4Addr::LOCALHOST)
}

fn at(address: Ipv4Addr) -> Visitor {
    Visitor { address: Some(address.into()), browser: None }
}

async fn accounts() -> (TempDir, Accounts) {
    accounts_with(AccountsConfig { failed_sign_ins_per_minute: 3, ..AccountsConfig::default() }).await
}

async fn accounts_with(config: AccountsConfig) -> (TempDir, Accounts) {
    let (folder, store) = testing::store().await;
    (folder, Accounts::new(store, config))
}

#[tokio::test]
async fn a_newcomer_registers_signs_in_and_out() {
    let (_folder, accounts) = accounts().await;

    let ada = accounts.register(" Ada ", PASSWORD, None).await.unwrap();
    let (user, sign_in) = accounts.sign_in("aDA", PASSWORD, home()).await.unwrap();

    assert_eq!((user.name.as_str(), &user), ("Ada", &ada));
    assert_eq!(accounts.user_of(sign_in).await.unwrap(), Some(ada));
    accounts.sign_out(sign_in).await.unwrap();
    assert_eq!(accounts.user_of(sign_in).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_accounts_made_at_once_one_is_the_administrators() {
    let (_folder, accounts) = accounts().await;

    let newcomers = (0..8).map(|n| {
        let accounts = accounts.clone();
        tokio::spawn(async move { accounts.register(&format!("user-{n}"), PASSWORD, None).await })
    });
    let users: Vec<User> =
        futures::future::join_all(newcomers).await.into_iter().map(|user| user.unwrap().unwrap()).collect();

    let administrators = users.iter().filter(|user| user.role == UserRole::Administrator).count();
    assert_eq!((users.len(), administrators), (8, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_people_who_want_one_name_at_once_one_gets_it() {
    let (_folder, accounts) = accounts().await;

    let newcomers = ["ada", "Ada", "ADA", "aDa"].map(|name| {
        let accounts = accounts.clone();
        tokio::spawn(async move { accounts.register(name, PASSWORD, None).await })
    });
    let answers: Vec<_> =
        futures::future::join_all(newcomers).await.into_iter().map(|answer| answer.unwrap()).collect();

    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Err(AccountError::NameTaken))).count(), 3);
}

#[tokio::test]
async fn a_registration_that_breaks_a_rule_says_which() {
    let (_folder, accounts) = accounts().await;

    for (name, password, sentence) in [
        ("a", PASSWORD, "A user name has 2 to 32 letters, digits, dots, underscores or hyphens."),
        ("ada", "ünï€🦀5678", "A password has at least 10 characters; this one has 9."),
        ("ada", &"x".repeat(257), "A password has at most 256 characters; this one has 257."),
        ("ada.lovelace", "Ada.Lovelace", "The password must differ from the name."),
    ] {
        let refused = accounts.register(name, password, None).await.unwrap_err();
        assert_eq!(refused.to_string(), sentence);
    }
    assert_eq!(accounts.list().await.unwrap(), []);
}

#[tokio::test]
async fn a_closed_server_takes_its_first_person_only() {
    let closed = AccountsConfig { registration: Registration::Closed, ..AccountsConfig::default() };
    let (_folder, accounts) = accounts_with(closed).await;
    assert!(accounts.takes_newcomers().await.unwrap());

    accounts.register("ada", PASSWORD, None).await.unwrap();
    let refused = accounts.register("bob", PASSWORD, None).await;

    assert!(matches!(refused, Err(AccountError::RegistrationClosed)), "{refused:?}");
    assert!(!accounts.takes_newcomers().await.unwrap());
}

#[tokio::test]
async fn s03_a_wrong_name_and_a_wrong_password_get_the_same_answer() {
    let (_folder, accounts) = accounts().await;
    accounts.register("ada", PASSWORD, None).await.unwrap();

    for (name, password) in [("ada", "wrong horse"), ("nobody", PASSWORD), ("<b>", PASSWORD), ("ada", "")] {
        let refused = accounts.sign_in(name, password, Visitor::default()).await.unwrap_err();
        assert_eq!(refused.to_string(), "That name and password do not match.");
    }
}

#[tokio::test]
async fn s06_guessing_a_name_keeps_its_person_out_neither_elsewhere_nor_in_a_browser_that_is_known() {
    let (_folder, accounts) = accounts().await;
    let ada = accounts.register("ada", PASSWORD, None).await.unwrap();
    for n in 0..15 {
        for _ in 0..4 {
            let guess = accounts.sign_in("ada", "wrong", at(Ipv4Addr::new(192, 0, 2, n))).await;
            assert!(
                matches!(guess, Err(AccountError::NoMatch | AccountError::TooManyAttempts { .. })),
                "{guess:?}"
            );
        }
    }
    let attackers = at(Ipv4Addr::new(192, 0, 2, 1));
    let known = Visitor { browser: Some(KnownBrowser::new(ada.id)), ..attackers };
    let foreign = Visitor { browser: Some(KnownBrowser::new(UserId::new())), ..attackers };

    let refused = accounts.sign_in("ADA", PASSWORD, attackers).await;
    assert!(matches!(refused, Err(AccountError::TooManyAttempts { .. })), "{refused:?}");
    assert!(accounts.sign_in("ada", PASSWORD, foreign).await.is_err(), "somebody else's browser");
    accounts.sign_in("ADA", PASSWORD, known).await.unwrap();
    accounts.sign_in("ada", PASSWORD, home()).await.unwrap();
    accounts.change_password(&ada, PASSWORD, "battery staple").await.unwrap();
}

#[tokio::test]
async fn s06_a_known_browser_has_attempts_of_its_own_and_not_more() {
    let (_folder, accounts) = accounts().await;
    let ada = accounts.register("ada", PASSWORD, None).await.unwrap();
    let known = Visitor { browser: Some(KnownBrowser::new(ada.id)), ..home() };
    for _ in 0..3 {
        assert!(matches!(accounts.sign_in("ada", "wrong", known).await, Err(AccountError::NoMatch)));
    }

    let refused = accounts.sign_in("ada", PASSWORD, known).await.unwrap_err();

    let AccountError::TooManyAttempts { retry_after } = refused else { panic!("{refused:?}") };
    assert!((1..=21).contains(&retry_after.as_secs()), "{retry_after:?}");
    accounts.sign_in("ada", PASSWORD, home()).await.unwrap();
}

#[tokio::test]
async fn s06_guessing_from_one_address_is_limited_whatever_the_name() {
    let (_folder, accounts) = accounts().await;
    accounts.register("ada", PASSWORD, None).await.unwrap();
    for name in ["ann", "bob", "cat"] {
        assert!(matches!(accounts.sign_in(name, "wrong", home()).await, Err(AccountError::NoMatch)));
    }

    let refused = accounts.sign_in("ada", PASSWORD, home()).await;

    assert!(matches!(refused, Err(AccountError::TooManyAttempts { .. })), "{refused:?}");
    accounts.sign_in("ada", PASSWORD, at(Ipv4Addr::new(192, 0, 2, 1))).await.unwrap();
}

#[tokio::test]
async fn guesses_sent_at_once_cannot_pass_the_limit_together() {
    let (_folder, accounts) = accounts().await;
    accounts.register("ada", PASSWORD, None).await.unwrap();

    let guesses = (0..8).map(|_| accounts.sign_in("ada", "wrong", Visitor::default()));
    let answers = futures::future::join_all(guesses).await;

    assert_eq!(answers.iter().filter(|answer| matches!(answer, Err(AccountError::NoMatch))).count(), 3);
}

#[tokio::test]
async fn signing_in_rightly_is_not_limited() {
    let (_folder, accounts) = accounts().await;
    accounts.register("ada", PASSWORD, None).await.unwrap();

    for _ in 0..5 {
        accounts.sign_in("ada", PASSWORD, home()).await.unwrap();
    }
}

#[tokio::test]
async fn s07_a_changed_password_leaves_one_browser_signed_in() {
    let (_folder, accounts) = accounts().await;
    let ada = accounts.register("ada", PASSWORD, None).await.unwrap();
    let elsewhere = accounts.start_sign_in(&ada).await.unwrap();

    let refused = accounts.change_password(&ada, "wrong horse", "battery staple").await;
    let here = accounts.change_password(&ada, PASSWORD, "battery staple").await.unwrap();

    assert!(matches!(refused, Err(AccountError::NoMatch)), "{refused:?}");
    assert_eq!(accounts.user_of(elsewhere).await.unwrap(), None);
    assert_eq!(accounts.user_of(here).await.unwrap(), Some(ada));
    assert!(accounts.sign_in("ada", PASSWORD, Visitor::default()).await.is_err());
    accounts.sign_in("ada", "battery staple", Visitor::default()).await.unwrap();
}

#[tokio::test]
async fn s07_a_reset_password_ends_every_sign_in() {
    let (_folder, accounts) = accounts().await;
    let ada = accounts.register("ada", PASSWORD, None).await.unwrap();
    let sign_in = accounts.start_sign_in(&ada).await.unwrap();

    let generated = accounts.reset_password("ADA", None).await.unwrap();

    assert_eq!(accounts.user_of(sign_in).await.unwrap(), None);
    assert!(accounts.sign_in("ada", PASSWORD, Visitor::default()).await.is_err());
    accounts.sign_in("ada", &generated, Visitor::default()).await.unwrap();
    accounts.reset_password("ada", Some("battery staple")).await.unwrap();
    accounts.sign_in("ada", "battery staple", Visitor::default()).await.unwrap();
    assert!(matches!(accounts.reset_password("ada", Some("short")).await, Err(AccountError::Password(_))));
}

#[tokio::test]
async fn the_operator_promotes_lists_and_deletes() {
    let (_folder, accounts) = accounts().await;
    let ada = accounts.register("ada", PASSWORD, None).await.unwrap();
    accounts.register("bob", PASSWORD, None).await.unwrap();

    let bob = accounts.promote("Bob").await.unwrap();
    assert_eq!(accounts.list().await.unwrap(), [(ada, 0), (bob.clone(), 0)]);

    let sign_in = accounts.start_sign_in(&bob).await.unwrap();
    accounts.delete("bob").await.unwrap();
    assert_eq!(accounts.user_of(sign_in).await.unwrap(), None);
    let missing = accounts.promote("bob").await.unwrap_err().to_string();
    assert_eq!(missing, "There is no account named \"bob\".");
}

#[tokio::test]
async fn s01_a_hash_that_is_weaker_than_todays_is_renewed_by_one_sign_in() {
    let (_folder, store) = testing::store().await;
    let accounts = Accounts::new(store.clone(), AccountsConfig::default());
    let ada = accounts.register("ada", PASSWORD, None).await.unwrap();
    let old = Argon2::from(Params::new(8_192, 2, 1, None).unwrap());
    let old = old.hash_password(PASSWORD.as_bytes()).unwrap().to_string();
    store.set_password_hash(ada.id, &old).await.unwrap();
    let stored = async || store.find_credentials(&ada.name).await.unwrap().unwrap().1;

    assert!(accounts.sign_in("ada", "wrong", home()).await.is_err());
    assert_eq!(stored().await, old, "a wrong password changes nothing");
    let (_, first) = accounts.sign_in("ada", PASSWORD, home()).await.unwrap();
    let renewed = stored().await;
    accounts.sign_in("ada", PASSWORD, home()).await.unwrap();

    assert!(renewed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{renewed}");
    assert_eq!(stored().await, renewed, "once is enough");
    assert_eq!(accounts.user_of(first).await.unwrap(), Some(ada.clone()));
}

#[tokio::test]
async fn s04_an_address_makes_so_many_accounts_an_hour_and_the_first_one_always() {
    let few = AccountsConfig { registrations_per_hour: 2, ..AccountsConfig::default() };
    let (_folder, accounts) = accounts_with(few).await;
    let register =
        async |name, n| accounts.register(name, PASSWORD, at(Ipv4Addr::new(192, 0, 2, n)).address).await;
    register("ada", 1).await.unwrap();
    register("bob", 1).await.unwrap();
    assert!(
        matches!(register("x y", 1).await, Err(AccountError::Name(_))),
        "what is not tried does not count"
    );
    assert!(matches!(register("ada", 1).await, Err(AccountError::NameTaken)), "asking for names counts");

    let refused = register("cat", 1).await.unwrap_err();

    assert_eq!(
        refused.to_string(),
        "Too many accounts were made from your address. Try again in 30 minutes."
    );
    register("cat", 2).await.unwrap();
}

#[tokio::test]
async fn s08_a_sign_in_goes_on_while_it_is_used_and_ends_when_it_is_not() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let (_folder, store) = testing::store().await;
    let accounts = Accounts::new(store.clone(), AccountsConfig::default());
    let ada = accounts.register("ada", PASSWORD, None).await.unwrap();
    let sign_in = accounts.start_sign_in(&ada).await.unwrap();
    let idle_at = async || store.find_user_by_sign_in(sign_in, 0).await.unwrap().unwrap().1;
    let fresh = idle_at().await;

    accounts.user_of(sign_in).await.unwrap();
    assert_eq!(idle_at().await, fresh, "noted at most once an hour");
    store.touch_sign_in(sign_in, fresh - 13 * DAY).await.unwrap();
    assert_eq!(accounts.user_of(sign_in).await.unwrap(), Some(ada));
    assert!(idle_at().await >= fresh, "it goes on for 14 days more");

    store.touch_sign_in(sign_in, fresh - 14 * DAY).await.unwrap();
    assert_eq!(accounts.user_of(sign_in).await.unwrap(), None);
    assert_eq!((accounts.config().sign_in_idle_days, accounts.config().sign_in_days), (14, 90));
}

#[tokio::test]
async fn a_database_that_is_gone_is_not_a_wrong_password() {
    let (_folder, store) = testing::store().await;
    let accounts = Accounts::new(store.clone(), AccountsConfig::default());
    store.close().await;

    let refused = accounts.sign_in("ada", PASSWORD, home()).await;
    let nobody = accounts.user_of(SignInId::new()).await;

    assert!(matches!(refused, Err(AccountError::Store(_))), "{refused:?}");
    assert!(matches!(nobody, Err(AccountError::Store(_))), "{nobody:?}");
}
