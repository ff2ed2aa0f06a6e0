-- A sign-in is kept as the SHA-256 of the id in its cookie, so that a copy of the database signs nobody in. SQL cannot compute
-- it: the sign-ins of before end, and everybody signs in once more.

DROP TABLE sign_ins;

CREATE TABLE sign_ins (
    id_hash    TEXT   NOT NULL PRIMARY KEY, -- hexadecimal
    user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    idle_at    BIGINT NOT NULL, -- when it ends unless it is used before
    expires_at BIGINT NOT NULL  -- when it ends in any case
);
CREATE INDEX sign_ins_of_user ON sign_ins (user_id);
CREATE INDEX sign_ins_by_expiry ON sign_ins (expires_at);
