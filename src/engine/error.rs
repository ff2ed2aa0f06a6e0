use crate::domain::OutOfRange;

/// Why the engine refuses; each is one sentence (or two) for the person who asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// The model is not loaded yet.
    #[error("The model is still loading ({percent} %); try again in a moment.")]
    NotReady {
        /// How far it is, 0 to 100.
        percent: u8,
    },
    /// No model is configured and `models/` holds none; a sentence with the ways to get one.
    #[error("{0}")]
    NoModel(String),
    /// The model could not be loaded, or the engine broke; a sentence.
    #[error("{0}")]
    Failed(String),
    /// The server is shutting down.
    #[error("The server is shutting down; try again when it is back.")]
    Stopping,
    /// Every place in the queue is taken.
    #[error("The server is busy: all {size} places in the queue are taken. Try again in a moment.")]
    QueueFull {
        /// `[default.llm] queue_size`
        size: usize,
    },
    /// This person has as many requests waiting or running as one person may have.
    #[error("You have {max} replies waiting or running already; wait for one of them or stop it.")]
    UserLimit {
        /// `[default.llm] max_per_user`
        max: usize,
    },
    /// The message that must stay in the prompt does not fit the context.
    #[error("The message is too long for the model: the prompt has {tokens} tokens, at most {limit} fit.")]
    TooLong {
        /// Tokens of the shortest possible prompt.
        tokens: usize,
        /// Most tokens that a prompt may have.
        limit: usize,
    },
    /// The chat template refuses these messages; a sentence.
    #[error("The model's chat template refuses this conversation: {0}")]
    Template(String),
    /// A sampling parameter is out of its range.
    #[error("{0}.")]
    Parameter(OutOfRange),
}
