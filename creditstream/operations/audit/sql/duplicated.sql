-- Orders with two effects.
SELECT count(*) || ' rows' AS what, lower(hex(id)) AS example FROM rows GROUP BY id HAVING count(*) > 1
UNION ALL
SELECT what, example FROM status_faults WHERE fault = 'duplicated';
