-- How a reply came about: one JSON object of at most 256 KiB, written with the end of the reply.

CREATE TABLE reply_traces (
    message_id TEXT NOT NULL PRIMARY KEY REFERENCES messages (id) ON DELETE CASCADE,
    trace      TEXT NOT NULL
);
