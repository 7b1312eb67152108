-- Failures that count and are linked to a deployment by day, each once, on the days in run_days.
SELECT l.day, CAST(COUNT(DISTINCT l.failure_id) AS DOUBLE) AS value
FROM core.failure_links AS l
WHERE l.is_selected AND l.deployment_id IS NOT NULL AND l.day IN (SELECT r.day FROM run_days AS r)
GROUP BY l.day
