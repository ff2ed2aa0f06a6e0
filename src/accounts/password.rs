use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::try_generate_salt;
use argon2::{Algorithm, Argon2, Block, Params, Version};

use super::AccountError;
use super::threads::{Caller, Threads};
use crate::config::AccountsConfig;

/// Argon2id with the parameters of the configuration, off the async runtime.
pub(super) struct Hasher {
    threads: Threads,
    argon2: Argon2<'static>,
}

/// What the check of a password found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Another password.
    Wrong,
    /// The right one.
    Right,
    /// The right one, whose stored hash is easier to guess than a new one would be.
    RightAndWeak,
}

impl Hasher {
    pub(super) fn new(config: &AccountsConfig) -> Self {
        // The ranges of the configuration lie within Argon2's: the default is for values that were never checked.
        let params = Params::new(config.argon2_memory_kib, config.argon2_iterations, 1, None);
        Self { threads: Threads::new(), argon2: params.unwrap_or_default().into() }
    }

    /// The hash of a password as a PHC string.
    pub(super) async fn hash(&self, password: &str, caller: Caller) -> Result<String, AccountError> {
        let (argon2, password) = (self.argon2.clone(), password.to_owned());
        self.threads.run(caller, move |memory| hash(&argon2, &password, memory)).await
    }

    /// Whether `password` has the hash `expected`. Takes as long for a name that has none.
    pub(super) async fn verify(
        &self,
        password: &str,
        expected: Option<String>,
        caller: Caller,
    ) -> Result<Verdict, AccountError> {
        let (argon2, password) = (self.argon2.clone(), password.to_owned());
        let work = move |memory: &mut _| match expected {
            Some(expected) => verify(&argon2, &password, &expected, memory),
            None => hash(&argon2, &password, memory).map(|_| Verdict::Wrong),
        };
        self.threads.run(caller, work).await
    }
}

fn hash(argon2: &Argon2<'_>, password: &str, memory: &mut Vec<Block>) -> Result<String, String> {
    let salt = Salt::new(&try_generate_salt().map_err(in_words)?).map_err(in_words)?;
    let hash = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(argon2.params()).map_err(in_words)?,
        salt: Some(salt),
        hash: Some(output(argon2, password, &salt, memory)?),
    };
    Ok(hash.to_string())
}

fn verify(
    today: &Argon2<'_>,
    password: &str,
    expected: &str,
    memory: &mut Vec<Block>,
) -> Result<Verdict, String> {
    let expected = PasswordHash::new(expected).map_err(in_words)?;
    let (Some(salt), Some(stored)) = (expected.salt, expected.hash) else {
        return Err("the stored hash is not whole".into());
    };
    let algorithm: Algorithm = expected.algorithm.as_str().parse().map_err(in_words)?;
    let version = expected.version.map(Version::try_from).transpose().map_err(in_words)?.unwrap_or_default();
    let params = Params::try_from(&expected).map_err(in_words)?;
    let weak = (algorithm, version) != (Algorithm::default(), Version::default())
        || params.m_cost() < today.params().m_cost()
        || params.t_cost() < today.params().t_cost();
    let found = output(&Argon2::new(algorithm, version, params), password, &salt, memory)?;
    // Outputs are compared in constant time.
    Ok(match (found == stored, weak) {
        (false, _) => Verdict::Wrong,
        (true, false) => Verdict::Right,
        (true, true) => Verdict::RightAndWeak,
    })
}

fn output(
    argon2: &Argon2<'_>,
    password: &str,
    salt: &Salt,
    memory: &mut Vec<Block>,
) -> Result<Output, String> {
    memory.resize(argon2.params().block_count(), Block::new());
    let length = argon2.params().output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let mut output = [0; Output::MAX_LENGTH];
    let output = output.get_mut(..length).ok_or("the stored hash is too long")?;
    argon2
        .hash_password_into_with_memory(password.as_bytes(), salt, output, memory.as_mut_slice())
        .map_err(in_words)?;
    Output::new(output).map_err(in_words)
}

fn in_words(error: impl std::fmt::Display) -> String {
    error.to_string()
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
    use argon2::PasswordHasher;

    use super::*;

    fn hasher() -> Hasher {
        Hasher::new(&AccountsConfig::default())
    }

    async fn verify(password: &str, expected: Option<String>) -> Result<Verdict, AccountError> {
        hasher().verify(password, expected, Caller::Stranger).await
    }

    #[tokio::test]
    async fn s01_a_hash_is_argon2id_and_matches_its_password_only() {
        let hash = hasher().hash("correct horse", Caller::Stranger).await.unwrap();

        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hasher().hash("correct horse", Caller::Stranger).await.unwrap(), hash);
        assert_eq!(verify("correct horse", Some(hash.clone())).await.unwrap(), Verdict::Right);
        assert_eq!(verify("correct horsf", Some(hash)).await.unwrap(), Verdict::Wrong);
        assert_eq!(verify("correct horse", None).await.unwrap(), Verdict::Wrong);
    }

    #[tokio::test]
    async fn what_another_program_hashed_with_whatever_parameters_is_checked_with_them() {
        for (memory, iterations, verdict) in [
            (8_192, 2, Verdict::RightAndWeak),
            (19_456, 1, Verdict::RightAndWeak),
            (19_456, 2, Verdict::Right),
            (24_576, 3, Verdict::Right),
        ] {
            let other = Argon2::from(Params::new(memory, iterations, 1, None).unwrap());
            let hash = other.hash_password(b"correct horse").unwrap().to_string();

            assert_eq!(verify("correct horse", Some(hash.clone())).await.unwrap(), verdict, "{hash}");
            assert_eq!(verify("wrong horse", Some(hash)).await.unwrap(), Verdict::Wrong);
        }
    }

    #[tokio::test]
    async fn a_stored_hash_that_cannot_be_read_is_an_error() {
        for hash in
            ["no hash", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ", "$scrypt$ln=1$c2FsdHNhbHQ$aGFzaGhhc2g"]
        {
            let unreadable = verify("correct horse", Some(hash.into())).await;
            assert!(matches!(unreadable, Err(AccountError::Hash(_))), "{unreadable:?}");
        }
    }

    #[test]
    fn generated_passwords_differ_and_can_be_typed() {
        let password = generate().unwrap();

        assert_ne!(password, generate().unwrap());
        assert_eq!(password.len(), 19);
        assert!(password.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
    }
}
