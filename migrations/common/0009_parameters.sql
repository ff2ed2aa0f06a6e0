-- What people set for their replies: one JSON object of what is set and nothing else. Without a row nothing is.

CREATE TABLE user_parameters (
    user_id    TEXT NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    parameters TEXT NOT NULL
);

CREATE TABLE conversation_parameters (
    conversation_id TEXT NOT NULL PRIMARY KEY REFERENCES conversations (id) ON DELETE CASCADE,
    parameters      TEXT NOT NULL
);

CREATE TABLE parameter_presets (
    id         TEXT NOT NULL PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    parameters TEXT NOT NULL,
    UNIQUE (user_id, name)
);
