-- Which plugins an administrator turned on or off; what is not here is as the configuration says.

CREATE TABLE plugin_states (
    plugin  TEXT   PRIMARY KEY,
    enabled BIGINT NOT NULL -- 0 or 1
);
