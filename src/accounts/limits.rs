//! How often a password may be guessed, and how many accounts one address may make.
//!
//! Invariants: whoever guesses uses up the attempts of their own address, never those of the person whose name they try. A
//! person signs in with the right password from every address that has not failed itself, and from a browser of theirs
//! wherever it is, whatever others do.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use super::AccountError;
use super::attempts::{Attempts, network};
use crate::config::AccountsConfig;
use crate::domain::{KnownBrowser, UserId, UserName};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Failures an hour of one name from one address, by those a minute: who goes on guessing gets slower.
const PAIR_PER_HOUR: u32 = 5;

/// Failures an hour of one name from everywhere, by those a minute of one address. From then on the name is under attack.
const NAME_PER_HOUR: u32 = 10;

/// Who tries a password.
#[derive(Debug, Clone)]
pub(super) enum Guesser {
    /// Anybody, for a name and from an address.
    Stranger {
        /// The name's key.
        name: String,
        /// What counts as the address.
        network: IpAddr,
    },
    /// A browser in which the person has signed in before.
    Browser(KnownBrowser),
    /// The person of a sign-in, who proves again to be one.
    SignedIn(UserId),
}

impl Guesser {
    pub(super) fn stranger(name: &UserName, address: Option<IpAddr>) -> Self {
        Self::Stranger { name: name.key(), network: one_address(address) }
    }
}

/// An attempt that was taken, to be given back when it did not fail.
#[derive(Debug)]
pub(super) struct Attempt {
    guesser: Guesser,
    /// What it counts for its name from its address.
    weight: u32,
    /// Whether it counts for its name.
    counts_for_name: bool,
}

pub(super) struct Limits {
    by_network: Attempts<IpAddr>,
    by_pair: Attempts<(String, IpAddr)>,
    by_name: Attempts<String>,
    by_browser: Attempts<KnownBrowser>,
    by_person: Attempts<UserId>,
    registrations: Attempts<IpAddr>,
    /// What an attempt counts for its name from its address while the name is under attack.
    heavy: u32,
}

impl Limits {
    pub(super) fn new(config: &AccountsConfig) -> Self {
        let a_minute = config.failed_sign_ins_per_minute;
        Self {
            by_network: Attempts::new(a_minute, MINUTE),
            by_pair: Attempts::new(a_minute * PAIR_PER_HOUR, HOUR),
            by_name: Attempts::new(a_minute * NAME_PER_HOUR, HOUR),
            by_browser: Attempts::new(a_minute, MINUTE),
            by_person: Attempts::new(a_minute, MINUTE),
            registrations: Attempts::new(config.registrations_per_hour, HOUR),
            heavy: a_minute,
        }
    }

    /// Takes an attempt to guess a password.
    pub(super) fn take(&self, guesser: Guesser, now: Instant) -> Result<Attempt, AccountError> {
        let (mut weight, mut counts_for_name) = (1, false);
        let taken = match &guesser {
            Guesser::Browser(browser) => self.by_browser.take(browser, now),
            Guesser::SignedIn(user) => self.by_person.take(user, now),
            Guesser::Stranger { name, network } => {
                counts_for_name = self.by_name.take(name, now).is_ok();
                weight = if counts_for_name { 1 } else { self.heavy };
                self.take_from(name, *network, weight, now)
            }
        };
        let attempt = Attempt { guesser, weight, counts_for_name };
        match taken {
            Ok(()) => Ok(attempt),
            Err(wait) => {
                self.give_back_name(&attempt);
                Err(AccountError::TooManyAttempts { retry_after: whole_seconds(wait) })
            }
        }
    }

    /// Gives an attempt back that did not fail.
    pub(super) fn give_back(&self, attempt: &Attempt) {
        self.give_back_name(attempt);
        match &attempt.guesser {
            Guesser::Browser(browser) => self.by_browser.give_back(browser),
            Guesser::SignedIn(user) => self.by_person.give_back(user),
            Guesser::Stranger { name, network } => {
                self.by_network.give_back(network);
                self.by_pair.give_back_as(attempt.weight, &(name.clone(), *network));
            }
        }
    }

    /// Takes one of the accounts that an address may make.
    pub(super) fn take_registration(
        &self,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), AccountError> {
        let full = |wait| AccountError::TooManyRegistrations { retry_after: whole_seconds(wait) };
        self.registrations.take(&one_address(address), now).map_err(full)
    }

    /// Gives an account back that could not be tried to make.
    pub(super) fn give_back_registration(&self, address: Option<IpAddr>) {
        self.registrations.give_back(&one_address(address));
    }

    fn take_from(&self, name: &str, network: IpAddr, weight: u32, now: Instant) -> Result<(), Duration> {
        self.by_network.take(&network, now)?;
        let pair = self.by_pair.take_as(weight, &(name.to_owned(), network), now);
        if pair.is_err() {
            self.by_network.give_back(&network);
        }
        pair
    }

    fn give_back_name(&self, attempt: &Attempt) {
        if let Guesser::Stranger { name, .. } = &attempt.guesser
            && attempt.counts_for_name
        {
            self.by_name.give_back(name);
        }
    }
}

/// Visitors without an address count as one.
fn one_address(address: Option<IpAddr>) -> IpAddr {
    address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), network)
}

/// Rounded up, so that whoever waits as long as told is not refused again.
fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::new(&AccountsConfig { registrations_per_hour: 3, ..AccountsConfig::default() })
    }

    fn ada() -> UserName {
        UserName::parse("ada").unwrap()
    }

    fn address(n: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::from_bits(0xC633_6400 + n)))
    }

    /// How many of `most` attempts pass.
    fn passed(limits: &Limits, guesser: &Guesser, now: Instant, most: usize) -> usize {
        (0..most).take_while(|_| limits.take(guesser.clone(), now).is_ok()).count()
    }

    #[test]
    fn an_address_has_ten_failures_a_minute_whatever_the_name_and_fifty_an_hour_for_one() {
        let (limits, start) = (limits(), Instant::now());
        let guesser = Guesser::stranger(&ada(), address(1));

        assert_eq!(passed(&limits, &guesser, start, 100), 10);
        let other = Guesser::stranger(&UserName::parse("bob").unwrap(), address(1));
        assert_eq!(passed(&limits, &other, start, 100), 0);
        assert_eq!(passed(&limits, &other, start + MINUTE, 100), 10);
        let rest: usize = (2..60).map(|n| passed(&limits, &guesser, start + n * MINUTE, 100)).sum();
        assert!((50..=100).contains(&rest), "{rest} in an hour");
    }

    #[test]
    fn a_name_under_attack_is_open_to_each_address_that_has_not_failed() {
        let (limits, start) = (limits(), Instant::now());
        let attackers = (0..1_000).map(|n| Guesser::stranger(&ada(), address(n)));
        let guessed: usize = attackers.map(|guesser| passed(&limits, &guesser, start, 100)).sum();
        let known = KnownBrowser::new(UserId::new());

        let right = limits.take(Guesser::stranger(&ada(), address(2_000)), start).unwrap();
        limits.give_back(&right);

        assert_eq!(passed(&limits, &Guesser::stranger(&ada(), address(2_000)), start, 100), 5);
        assert_eq!(passed(&limits, &Guesser::Browser(known), start, 100), 10);
        // 100 at full speed, then five for each address.
        assert!((5_000..=5_100).contains(&guessed), "{guessed}");
    }

    #[test]
    fn who_is_refused_uses_nothing_up() {
        let (limits, start) = (limits(), Instant::now());
        let guesser = Guesser::stranger(&ada(), address(1));
        assert_eq!(passed(&limits, &guesser, start, 10), 10);

        for _ in 0..1_000 {
            assert!(limits.take(guesser.clone(), start).is_err());
        }

        assert_eq!(passed(&limits, &Guesser::stranger(&ada(), address(2)), start, 100), 10);
    }

    #[test]
    fn an_address_makes_so_many_accounts_an_hour() {
        let (limits, start) = (limits(), Instant::now());
        for _ in 0..3 {
            limits.take_registration(address(1), start).unwrap();
        }

        let refused = limits.take_registration(address(1), start).unwrap_err();

        let AccountError::TooManyRegistrations { retry_after } = refused else { panic!("{refused:?}") };
        assert_eq!(retry_after, Duration::from_secs(20 * 60 + 1));
        limits.take_registration(address(2), start).unwrap();
        limits.take_registration(address(1), start + retry_after).unwrap();
    }
}
