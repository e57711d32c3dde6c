-- Orders about which PostgreSQL, the status topic and the dead letters do not say the same.
SELECT
    CASE WHEN statuses.id IS NULL THEN 'row without status record' ELSE 'row and last status record differ' END AS what,
    lower(hex(rows.id)) AS example
FROM rows LEFT JOIN statuses ON statuses.id = rows.id
GROUP BY rows.id
HAVING statuses.id IS NULL OR max(rows.published = statuses.published) = 0
UNION ALL
SELECT 'status record without row', lower(hex(id)) FROM statuses WHERE id NOT IN (SELECT id FROM rows)
UNION ALL
SELECT what, example FROM status_faults WHERE fault = 'divergent'
UNION ALL
SELECT 'dead letter for a conflict, but it is the content of the row', 'orders[' || part || ']@' || off
FROM judged WHERE letter = 'conflict' AND is_the_row AND NOT EXISTS (
    SELECT 1 FROM rows WHERE rows.id = judged.id AND rows.fingerprint = zeroblob(16)
);
