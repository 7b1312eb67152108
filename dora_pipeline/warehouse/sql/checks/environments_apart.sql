-- Environments that metrics count apart, the one with the most events first.
SELECT d.env, CAST(SUM(d.deployments + d.failures) AS BIGINT) AS events
FROM metrics.daily AS d
WHERE d.env IS NOT NULL
GROUP BY d.env
ORDER BY events DESC, d.env
