-- Sightings of versions by day, on the days in run_days.
SELECT a.day, CAST(SUM(a.sightings) AS DOUBLE) AS value
FROM core.apm_version_activity AS a
WHERE a.day IN (SELECT r.day FROM run_days AS r)
GROUP BY a.day
