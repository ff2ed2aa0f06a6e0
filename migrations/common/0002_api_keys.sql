-- Keys with which programs use a person's account. Of the key itself only a hash is kept.

CREATE TABLE api_keys (
    id           TEXT   NOT NULL PRIMARY KEY,
    user_id      TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         TEXT   NOT NULL,
    key_hash     TEXT   NOT NULL UNIQUE, -- SHA-256 of the key, in hexadecimal
    hint         TEXT   NOT NULL,        -- its first characters
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT                  -- to the minute
);
CREATE INDEX api_keys_of_user ON api_keys (user_id, created_at, id);
