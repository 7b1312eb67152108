-- Failed changes that count by day, on the days in run_days.
SELECT c.day, CAST(COUNT(*) AS DOUBLE) AS value
FROM core.failed_changes AS c
WHERE c.is_selected AND c.day IN (SELECT r.day FROM run_days AS r)
GROUP BY c.day
