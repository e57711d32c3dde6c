SELECT reason, count(*) FROM (SELECT reason FROM letters UNION ALL SELECT reason FROM other_letters)
GROUP BY reason ORDER BY reason;
