use std::net::Ipv4Addr;

use tempfile::TempDir;

use super::*;
use crate::store::testing;

const PASSWORD: &str = "correct horse";
const HOME: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));

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

    let ada = accounts.register(" Ada ", PASSWORD).await.unwrap();
    let (user, sign_in) = accounts.sign_in("aDA", PASSWORD, HOME).await.unwrap();

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
        tokio::spawn(async move { accounts.register(&format!("user-{n}"), PASSWORD).await })
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
        tokio::spawn(async move { accounts.register(name, PASSWORD).await })
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
        let refused = accounts.register(name, password).await.unwrap_err();
        assert_eq!(refused.to_string(), sentence);
    }
    assert_eq!(accounts.list().await.unwrap(), []);
}

#[tokio::test]
async fn a_closed_server_takes_its_first_person_only() {
    let closed = AccountsConfig { registration: Registration::Closed, ..AccountsConfig::default() };
    let (_folder, accounts) = accounts_with(closed).await;
    assert!(accounts.takes_newcomers().await.unwrap());

    accounts.register("ada", PASSWORD).await.unwrap();
    let refused = accounts.register("bob", PASSWORD).await;

    assert!(matches!(refused, Err(AccountError::RegistrationClosed)), "{refused:?}");
    assert!(!accounts.takes_newcomers().await.unwrap());
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_get_the_same_answer() {
    let (_folder, accounts) = accounts().await;
    accounts.register("ada", PASSWORD).await.unwrap();

    for (name, password) in [("ada", "wrong horse"), ("nobody", PASSWORD), ("<b>", PASSWORD), ("ada", "")] {
        let refused = accounts.sign_in(name, password, None).await.unwrap_err();
        assert_eq!(refused.to_string(), "That name and password do not match.");
    }
}

#[tokio::test]
async fn guessing_one_name_is_limited_from_wherever_it_comes() {
    let (_folder, accounts) = accounts().await;
    accounts.register("ada", PASSWORD).await.unwrap();
    let address = |n| Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, n)));
    for n in 0..3 {
        assert!(matches!(accounts.sign_in("ada", "wrong", address(n)).await, Err(AccountError::NoMatch)));
    }

    let refused = accounts.sign_in("ADA", PASSWORD, address(4)).await.unwrap_err();

    let AccountError::TooManyAttempts { retry_after } = refused else { panic!("{refused:?}") };
    assert!((1..=20).contains(&retry_after.as_secs()), "{retry_after:?}");
}

#[tokio::test]
async fn guessing_from_one_address_is_limited_whatever_the_name() {
    let (_folder, accounts) = accounts().await;
    accounts.register("ada", PASSWORD).await.unwrap();
    for name in ["ann", "bob", "cat"] {
        assert!(matches!(accounts.sign_in(name, "wrong", HOME).await, Err(AccountError::NoMatch)));
    }

    let refused = accounts.sign_in("ada", PASSWORD, HOME).await;

    assert!(matches!(refused, Err(AccountError::TooManyAttempts { .. })), "{refused:?}");
    accounts.sign_in("ada", PASSWORD, Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)))).await.unwrap();
}

#[tokio::test]
async fn guesses_sent_at_once_cannot_pass_the_limit_together() {
    let (_folder, accounts) = accounts().await;
    accounts.register("ada", PASSWORD).await.unwrap();

    let guesses = (0..8).map(|_| accounts.sign_in("ada", "wrong", None));
    let answers = futures::future::join_all(guesses).await;

    assert_eq!(answers.iter().filter(|answer| matches!(answer, Err(AccountError::NoMatch))).count(), 3);
}

#[tokio::test]
async fn signing_in_rightly_is_not_limited() {
    let (_folder, accounts) = accounts().await;
    accounts.register("ada", PASSWORD).await.unwrap();

    for _ in 0..5 {
        accounts.sign_in("ada", PASSWORD, HOME).await.unwrap();
    }
}

#[tokio::test]
async fn a_changed_password_leaves_one_browser_signed_in() {
    let (_folder, accounts) = accounts().await;
    let ada = accounts.register("ada", PASSWORD).await.unwrap();
    let elsewhere = accounts.start_sign_in(&ada).await.unwrap();

    let refused = accounts.change_password(&ada, "wrong horse", "battery staple").await;
    let here = accounts.change_password(&ada, PASSWORD, "battery staple").await.unwrap();

    assert!(matches!(refused, Err(AccountError::NoMatch)), "{refused:?}");
    assert_eq!(accounts.user_of(elsewhere).await.unwrap(), None);
    assert_eq!(accounts.user_of(here).await.unwrap(), Some(ada));
    assert!(accounts.sign_in("ada", PASSWORD, None).await.is_err());
    accounts.sign_in("ada", "battery staple", None).await.unwrap();
}

#[tokio::test]
async fn a_reset_password_ends_every_sign_in() {
    let (_folder, accounts) = accounts().await;
    let ada = accounts.register("ada", PASSWORD).await.unwrap();
    let sign_in = accounts.start_sign_in(&ada).await.unwrap();

    let generated = accounts.reset_password("ADA", None).await.unwrap();

    assert_eq!(accounts.user_of(sign_in).await.unwrap(), None);
    assert!(accounts.sign_in("ada", PASSWORD, None).await.is_err());
    accounts.sign_in("ada", &generated, None).await.unwrap();
    accounts.reset_password("ada", Some("battery staple")).await.unwrap();
    accounts.sign_in("ada", "battery staple", None).await.unwrap();
    assert!(matches!(accounts.reset_password("ada", Some("short")).await, Err(AccountError::Password(_))));
}

#[tokio::test]
async fn the_operator_promotes_lists_and_deletes() {
    let (_folder, accounts) = accounts().await;
    let ada = accounts.register("ada", PASSWORD).await.unwrap();
    accounts.register("bob", PASSWORD).await.unwrap();

    let bob = accounts.promote("Bob").await.unwrap();
    assert_eq!(accounts.list().await.unwrap(), [(ada, 0), (bob.clone(), 0)]);

    let sign_in = accounts.start_sign_in(&bob).await.unwrap();
    accounts.delete("bob").await.unwrap();
    assert_eq!(accounts.user_of(sign_in).await.unwrap(), None);
    let missing = accounts.promote("bob").await.unwrap_err().to_string();
    assert_eq!(missing, "There is no account named \"bob\".");
}

#[tokio::test]
async fn a_database_that_is_gone_is_not_a_wrong_password() {
    let (_folder, store) = testing::store().await;
    let accounts = Accounts::new(store.clone(), AccountsConfig::default());
    store.close().await;

    let refused = accounts.sign_in("ada", PASSWORD, HOME).await;
    let nobody = accounts.user_of(SignInId::new()).await;

    assert!(matches!(refused, Err(AccountError::Store(_))), "{refused:?}");
    assert!(matches!(nobody, Err(AccountError::Store(_))), "{nobody:?}");
}
