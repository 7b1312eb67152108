-- Deployments that count by day, on the days in run_days.
SELECT d.day, CAST(COUNT(*) AS DOUBLE) AS value
FROM core.deployments AS d
WHERE d.is_selected AND d.duplicate_of IS NULL AND d.day IN (SELECT r.day FROM run_days AS r)
GROUP BY d.day
