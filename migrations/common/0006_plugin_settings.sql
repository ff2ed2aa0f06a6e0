-- What people set on the forms of plugins: JSON values by plugin and name. What nobody set has no row.

-- The operator's, for everybody. A secret's value is {"secret": text}, so that it never passes for anything else.
CREATE TABLE plugin_settings (
    plugin TEXT NOT NULL,
    name   TEXT NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (plugin, name)
);

-- Plugins that people may turn off for themselves.
CREATE TABLE optional_plugins (
    plugin TEXT NOT NULL PRIMARY KEY
);

CREATE TABLE user_plugin_settings (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    plugin  TEXT NOT NULL,
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (user_id, plugin, name)
);

-- Plugins that a person turned off, everywhere or in one conversation.
CREATE TABLE user_plugins_off (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    plugin  TEXT NOT NULL,
    PRIMARY KEY (user_id, plugin)
);
CREATE TABLE conversation_plugins_off (
    conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    plugin          TEXT NOT NULL,
    PRIMARY KEY (conversation_id, plugin)
);
