SELECT
    (SELECT count(*) FROM records) AS records,
    (SELECT count(DISTINCT id) FROM records) AS orders,
    (SELECT count(*) FROM rows WHERE status = 'approved') AS approved,
    (SELECT count(*) FROM rows WHERE status = 'rejected') AS rejected,
    (SELECT count(*) FROM rows WHERE status = 'under_review') AS under_review,
    (SELECT count(*) - count(DISTINCT id) FROM judged WHERE is_the_row) AS duplicates,
    (SELECT count(*) FROM judged WHERE has_row AND NOT is_the_row) AS conflicts;
