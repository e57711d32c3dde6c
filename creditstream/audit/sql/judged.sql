-- Each record beside the row that it became or repeats, and the letter that it has.
CREATE TEMP VIEW judged AS
SELECT
    records.*,
    letters.reason AS letter,
    EXISTS (SELECT 1 FROM rows WHERE rows.id = records.id) AS has_row,
    EXISTS (SELECT 1 FROM rows WHERE rows.id = records.id AND rows.fingerprint = records.fingerprint) AS is_the_row
FROM records LEFT JOIN letters USING (part, off);
