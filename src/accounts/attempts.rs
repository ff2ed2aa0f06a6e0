use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most keys remembered; beyond it the one that would be forgotten soonest goes.
const MAX_KEYS: usize = 10_000;

/// Attempts by key: so many in a window of time, forgotten one by one at a steady rate.
///
/// An attempt is taken before the password is checked, so that attempts sent at once cannot pass together, and given
/// back when the password was right.
pub(super) struct Attempts<K> {
    window: Duration,
    /// After this time one attempt is forgotten.
    interval: Duration,
    /// When all attempts of a key will be forgotten. A std mutex: it is held for a few lines and no await.
    forgotten: Mutex<HashMap<K, Instant>>,
}

impl<K: Hash + Eq + Clone> Attempts<K> {
    pub(super) fn new(most: u32, window: Duration) -> Self {
        Self { window, interval: window / most.max(1), forgotten: Mutex::default() }
    }

    /// Takes one attempt, or says how long to wait for the next.
    pub(super) fn take(&self, key: &K, now: Instant) -> Result<(), Duration> {
        self.take_as(1, key, now)
    }

    /// Takes an attempt that counts as `weight` attempts.
    pub(super) fn take_as(&self, weight: u32, key: &K, now: Instant) -> Result<(), Duration> {
        let mut forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        let until = forgotten.get(key).map_or(now, |until| now.max(*until)) + self.interval * weight;
        // Rounding makes all intervals together at most a window, never more.
        if until > now + self.window {
            return Err(until - (now + self.window));
        }
        if forgotten.len() >= MAX_KEYS && !forgotten.contains_key(key) {
            make_room(&mut forgotten, now);
        }
        forgotten.insert(key.clone(), until);
        Ok(())
    }

    /// Gives an attempt back that did not fail.
    pub(super) fn give_back(&self, key: &K) {
        self.give_back_as(1, key);
    }

    /// Gives an attempt back that counted as `weight` attempts.
    pub(super) fn give_back_as(&self, weight: u32, key: &K) {
        let mut forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = forgotten.get_mut(key) {
            *until -= self.interval * weight;
        }
    }
}

fn make_room<K: Hash + Eq + Clone>(forgotten: &mut HashMap<K, Instant>, now: Instant) {
    forgotten.retain(|_, until| *until > now);
    let soonest = forgotten.iter().min_by_key(|(_, until)| **until).map(|(key, _)| key.clone());
    if let Some(key) = soonest.filter(|_| forgotten.len() >= MAX_KEYS) {
        forgotten.remove(&key);
    }
}

/// What counts as one address: a single IPv6 customer has a whole /64.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn attempts_of_a_key_are_limited_and_come_back_one_by_one() {
        let attempts = Attempts::new(3, MINUTE);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(attempts.take(&"ada", start), Ok(()));
        }

        assert_eq!(attempts.take(&"ada", start), Err(20 * SECOND));
        assert_eq!(attempts.take(&"bob", start), Ok(()));
        assert_eq!(attempts.take(&"ada", start + 19 * SECOND), Err(SECOND));
        assert_eq!(attempts.take(&"ada", start + 20 * SECOND), Ok(()));
        assert_eq!(attempts.take(&"ada", start + 20 * SECOND), Err(20 * SECOND));
        for _ in 0..3 {
            assert_eq!(attempts.take(&"ada", start + 200 * SECOND), Ok(()));
        }
        assert!(attempts.take(&"ada", start + 200 * SECOND).is_err());
    }

    #[test]
    fn the_configured_number_of_attempts_passes_whatever_it_is() {
        for per_minute in [1, 7, 10, 59, 61, 9_999, 10_000] {
            let attempts = Attempts::new(per_minute, MINUTE);
            let now = Instant::now();

            let passed = (0..=per_minute).take_while(|_| attempts.take(&(), now).is_ok()).count();

            assert_eq!(passed, per_minute as usize);
        }
    }

    #[test]
    fn an_attempt_given_back_does_not_count() {
        let attempts = Attempts::new(1, MINUTE);
        let now = Instant::now();

        for _ in 0..5 {
            assert_eq!(attempts.take(&"ada", now), Ok(()));
            attempts.give_back(&"ada");
        }
    }

    #[test]
    fn an_attempt_may_count_as_several_and_a_fresh_key_always_has_one() {
        let attempts = Attempts::new(10, MINUTE);
        let now = Instant::now();

        assert_eq!(attempts.take_as(10, &"ada", now), Ok(()));
        assert_eq!(attempts.take(&"ada", now), Err(6 * SECOND));
        attempts.give_back_as(10, &"ada");
        assert_eq!(attempts.take(&"ada", now), Ok(()));
        assert_eq!(attempts.take_as(10, &"ada", now), Err(6 * SECOND));
    }

    #[test]
    fn memory_is_bounded_and_the_freshest_failures_stay() {
        let attempts = Attempts::new(1, MINUTE);
        let start = Instant::now();
        for key in 0..MAX_KEYS {
            assert_eq!(attempts.take(&key, start + Duration::from_micros(key as u64)), Ok(()));
        }

        assert_eq!(attempts.take(&MAX_KEYS, start + SECOND), Ok(()));

        assert_eq!(attempts.forgotten.lock().unwrap().len(), MAX_KEYS);
        assert!(attempts.take(&(MAX_KEYS - 1), start + SECOND).is_err());
        assert!(attempts.take(&0, start + SECOND).is_ok());
    }

    #[test]
    fn a_network_is_an_ipv4_address_or_an_ipv6_prefix() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();

        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
