-- Median change lead time over the commits of each day, in seconds, on the days in run_days.
SELECT c.day, PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY c.lead_time_seconds) AS value
FROM core.deployment_commits AS c
WHERE c.is_selected AND NOT c.is_redelivery AND c.lead_time_seconds IS NOT NULL AND c.day IN (SELECT r.day FROM run_days AS r)
GROUP BY c.day
