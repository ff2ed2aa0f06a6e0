-- Portable between SQLite and PostgreSQL: TEXT, BIGINT and DOUBLE PRECISION only.
-- Ids are UUIDs in hexadecimal, times are Unix milliseconds, JSON is TEXT.

CREATE TABLE users (
    id            TEXT   NOT NULL PRIMARY KEY,
    name          TEXT   NOT NULL,
    name_key      TEXT   NOT NULL UNIQUE, -- the name in lower case
    password_hash TEXT   NOT NULL,        -- PHC string
    role          TEXT   NOT NULL CHECK (role IN ('user', 'administrator')),
    created_at    BIGINT NOT NULL
);

CREATE TABLE sign_ins (
    id         TEXT   NOT NULL PRIMARY KEY,
    user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sign_ins_of_user ON sign_ins (user_id);
CREATE INDEX sign_ins_by_expiry ON sign_ins (expires_at);

CREATE TABLE conversations (
    id         TEXT   NOT NULL PRIMARY KEY,
    user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title      TEXT   NOT NULL,
    title_by   TEXT   NOT NULL CHECK (title_by IN ('nobody', 'words', 'plugin', 'person')),
    head_id    TEXT, -- last message of the branch that is shown; no foreign key, because each table would need the other first
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX conversations_of_user ON conversations (user_id, updated_at, id);

CREATE TABLE messages (
    id                TEXT   NOT NULL PRIMARY KEY,
    conversation_id   TEXT   NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    parent_id         TEXT,
    role              TEXT   NOT NULL CHECK (role IN ('system', 'user', 'assistant')),
    content           TEXT   NOT NULL,
    status            TEXT   NOT NULL CHECK (status IN ('generating', 'complete', 'stopped', 'failed', 'interrupted')),
    finish_reason     TEXT   CHECK (finish_reason IN ('stop', 'length', 'cancelled', 'plugin')),
    error             TEXT,
    marks             TEXT   NOT NULL, -- JSON array of {source, text}
    prompt_tokens     BIGINT,
    completion_tokens BIGINT,
    seed              BIGINT,
    token_ids         TEXT,            -- JSON array, only while `content` is exactly their text
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL,
    UNIQUE (conversation_id, id),
    -- A message answers one of its own conversation. No cascade here: a long branch would exceed SQLite's trigger depth.
    FOREIGN KEY (conversation_id, parent_id) REFERENCES messages (conversation_id, id)
);
CREATE INDEX messages_by_parent ON messages (conversation_id, parent_id);
-- At most one reply of a conversation is being written, whatever the code above believes.
CREATE UNIQUE INDEX messages_generating ON messages (conversation_id) WHERE status = 'generating';
