-- Failures of services per deployment by day, over all services and environments, on the days in run_days.
SELECT m.day, CASE WHEN SUM(m.deployments) > 0 THEN CAST(SUM(m.failures) AS DOUBLE) / SUM(m.deployments) END AS value
FROM metrics.daily AS m
WHERE m.day IN (SELECT r.day FROM run_days AS r)
GROUP BY m.day
