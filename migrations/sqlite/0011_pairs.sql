-- Scripts without spaces between words are found by pairs of letters: 東京へ stands in the index as 東京 京へ へ.

DROP TRIGGER searchable_from_now;
DROP TABLE words;

-- Marks belong to their letters: many scripts write vowels so.
CREATE VIRTUAL TABLE words USING fts5 (
    owner, text, content = '', contentless_delete = 1,
    tokenize = 'unicode61 remove_diacritics 2 categories ''L* M* N* Co''', prefix = '1 2 3'
);

-- What of each searchable is indexed. The letters are those of `is_spaceless` in src/domain/search.rs: Thai, Lao, Burmese, Khmer,
-- Chinese, Japanese. A text is cut up on the way, because SQLite counts letters from a text's beginning each time.
CREATE VIEW indexed AS
WITH RECURSIVE
    spaceless (letter) AS (SELECT '[' || char(
        0xe00, 0x2d, 0xeff, 0x1000, 0x2d, 0x109f, 0x1780, 0x2d, 0x17ff, 0x2e80, 0x2d, 0x9fff, 0xf900, 0x2d, 0xfaff,
        0x20000, 0x2d, 0x3ffff) || ']'),
    place (number) AS (VALUES (1) UNION ALL SELECT number + 1 FROM place WHERE number < 256),
    whole (id, owner, text) AS (
        SELECT s.id, c.user_id, COALESCE(m.content, c.title)
        FROM searchable s JOIN conversations c ON c.id = s.conversation_id LEFT JOIN messages m ON m.id = s.message_id
    )
SELECT id, owner, CASE WHEN whole.text NOT GLOB '*' || letter || '*' THEN whole.text ELSE (
    WITH RECURSIVE piece (number, text, rest) AS (
        SELECT 1, substr(whole.text, 1, 257), substr(whole.text, 257)
        UNION ALL
        SELECT number + 1, substr(rest, 1, 257), substr(rest, 257) FROM piece WHERE rest <> ''
    )
    SELECT group_concat(
        CASE WHEN substr(piece.text, place.number, 1) GLOB letter THEN ' ' || substr(piece.text, place.number, 2) || ' '
        ELSE substr(piece.text, place.number, 1) END, '' ORDER BY piece.number, place.number)
    FROM piece CROSS JOIN place
) END AS text
FROM whole CROSS JOIN spaceless;

CREATE TRIGGER searchable_from_now AFTER INSERT ON searchable BEGIN
    INSERT INTO words (rowid, owner, text) SELECT id, owner, text FROM indexed WHERE id = new.id;
END;

INSERT INTO words (rowid, owner, text) SELECT id, owner, text FROM indexed;
