-- Days on which tables do not show yet what was read, the newest first.
SELECT s.day, STRING_AGG(s.target, ', ' ORDER BY s.target) AS tables
FROM landing.stale_days AS s
GROUP BY s.day
ORDER BY s.day DESC
