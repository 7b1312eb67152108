-- Failures that count by day, each once however many services it impacts, on the days in run_days.
SELECT f.day, CAST(COUNT(DISTINCT f.failure_id) AS DOUBLE) AS value
FROM core.failures AS f
WHERE f.is_selected AND f.day IN (SELECT r.day FROM run_days AS r)
GROUP BY f.day
