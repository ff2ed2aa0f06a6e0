use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error, PasswordHasher, PasswordVerifier, try_generate_salt};
use tokio::sync::Semaphore;

use super::AccountError;

/// Hashes at a time. Each one takes 19 MiB and keeps a core busy for some 50 ms, which the model would miss.
const AT_ONCE: usize = 2;

/// Argon2id with the parameters that OWASP recommends, off the async runtime.
pub(super) struct Hasher {
    places: Arc<Semaphore>,
}

impl Hasher {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The hash of a password as a PHC string.
    pub(super) async fn hash(&self, password: &str) -> Result<String, AccountError> {
        let password = password.to_owned();
        self.run(move || Ok(hash(&password)?.to_string())).await
    }

    /// Whether `password` has the hash `expected`. Takes as long for a name that has none.
    pub(super) async fn verify(
        &self,
        password: &str,
        expected: Option<String>,
    ) -> Result<bool, AccountError> {
        let password = password.to_owned();
        self.run(move || match expected {
            Some(expected) => {
                let expected = PasswordHash::new(&expected).map_err(|e| e.to_string())?;
                match Argon2::default().verify_password(password.as_bytes(), &expected) {
                    Ok(()) => Ok(true),
                    Err(Error::PasswordInvalid) => Ok(false),
                    Err(e) => Err(e.to_string()),
                }
            }
            None => hash(&password).map(|_| false),
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, AccountError> {
        let place =
            self.places.clone().acquire_owned().await.map_err(|e| AccountError::Hash(e.to_string()))?;
        // The place goes with the work: a caller that goes away does not make room for more.
        let work = move || {
            let result = work();
            drop(place);
            result
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|e| AccountError::Hash(e.to_string()))?
            .map_err(AccountError::Hash)
    }
}

fn hash(password: &str) -> Result<PasswordHash, String> {
    Argon2::default().hash_password(password.as_bytes()).map_err(|e| e.to_string())
}

/// A password that nobody can guess (80 random bits) and anybody can type.
pub(super) fn generate() -> Result<String, AccountError> {
    /// No letter or digit that looks like another.
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let random = try_generate_salt().map_err(|e| AccountError::Hash(e.to_string()))?;
    let letters = random.map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    Ok(letters.chunks(4).map(String::from_iter).collect::<Vec<_>>().join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_is_argon2id_and_matches_its_password_only() {
        let hasher = Hasher::new();

        let hash = hasher.hash("correct horse").await.unwrap();

        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hasher.hash("correct horse").await.unwrap(), hash);
        assert!(hasher.verify("correct horse", Some(hash.clone())).await.unwrap());
        assert!(!hasher.verify("correct horsf", Some(hash)).await.unwrap());
        assert!(!hasher.verify("correct horse", None).await.unwrap());
    }

    #[tokio::test]
    async fn a_stored_hash_that_cannot_be_read_is_an_error() {
        let unreadable = Hasher::new().verify("correct horse", Some("no hash".into())).await;

        assert!(matches!(unreadable, Err(AccountError::Hash(_))), "{unreadable:?}");
    }

    #[test]
    fn generated_passwords_differ_and_can_be_typed() {
        let password = generate().unwrap();

        assert_ne!(password, generate().unwrap());
        assert_eq!(password.len(), 19);
        assert!(password.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
    }
}
