-- Rejected events by day, on the days in run_days.
SELECT e.day, CAST(SUM(e.records) AS DOUBLE) AS value
FROM core.rejected_events AS e
WHERE e.day IN (SELECT r.day FROM run_days AS r)
GROUP BY e.day
