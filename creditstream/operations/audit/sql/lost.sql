-- Records that ended as nothing, or as half of what they should be.
SELECT
    CASE
        WHEN id IS NULL THEN 'not an order (' || reason || ') and no dead letter'
        WHEN letter IS NOT NULL THEN 'dead letter (' || letter || ') that belongs to a row, and no row'
        WHEN has_row THEN 'other content than its row and no dead letter'
        ELSE 'no row and no dead letter'
    END AS what,
    'orders[' || part || ']@' || off AS example
FROM judged
WHERE NOT is_removed AND (
    (letter IS NULL AND NOT is_the_row) OR (letter IN (SELECT reason FROM letters_of_rows) AND NOT has_row)
)
UNION ALL
SELECT 'waits for a person (' || rows.reason || ') and no dead letter that says so', lower(hex(rows.id))
FROM rows
WHERE rows.status = 'under_review'
  AND rows.reason IN (SELECT reason FROM letters_of_rows WHERE waits)
  AND EXISTS (SELECT 1 FROM records WHERE records.id = rows.id AND records.fingerprint = rows.fingerprint)
  AND NOT EXISTS (
      SELECT 1 FROM judged WHERE judged.id = rows.id AND judged.is_the_row
        AND judged.letter IN (SELECT reason FROM letters_of_rows WHERE waits IS NOT NULL)
  );
