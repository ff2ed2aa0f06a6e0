-- The words of a conversation that arrives are already those of its person.

DROP VIEW indexed;
CREATE VIEW indexed AS
WITH RECURSIVE
    spaceless (letter) AS (SELECT '[' || char(
        0xe00, 0x2d, 0xeff, 0x1000, 0x2d, 0x109f, 0x1780, 0x2d, 0x17ff, 0x2e80, 0x2d, 0x9fff, 0xf900, 0x2d, 0xfaff,
        0x20000, 0x2d, 0x3ffff) || ']'),
    place (number) AS (VALUES (1) UNION ALL SELECT number + 1 FROM place WHERE number < 256),
    whole (id, owner, text) AS (
        SELECT s.id, COALESCE(c.arriving_for, c.user_id), COALESCE(m.content, c.title)
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
