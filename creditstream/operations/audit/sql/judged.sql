-- Each record beside the row that it became or repeats, and the letter that it has.
CREATE TEMP VIEW judged AS
SELECT
    records.*,
    letters.reason AS letter,
    EXISTS (SELECT 1 FROM rows WHERE rows.id = records.id) AS has_row,
    EXISTS (
        SELECT 1 FROM rows
        WHERE rows.id = records.id AND rows.fingerprint IN (records.fingerprint, zeroblob(16))  -- forgotten: any content
    ) AS is_the_row,
    EXISTS (SELECT 1 FROM removed WHERE removed.id = records.id) AS is_removed
FROM records LEFT JOIN letters USING (part, off);
