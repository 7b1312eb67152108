-- Share of the events of the days in run_days that were rejected, by source and reason, the largest first.
WITH told AS (
    SELECT d.source, COUNT(*) AS events FROM landing.deployments AS d
    WHERE d.day IN (SELECT r.day FROM run_days AS r) GROUP BY d.source
    UNION ALL
    SELECT f.source, COUNT(*) AS events FROM landing.failures AS f
    WHERE f.day IN (SELECT r.day FROM run_days AS r) GROUP BY f.source
),
rejected AS (
    SELECT e.source, e.reason, COUNT(*) AS rejected FROM core.rejected_events AS e
    WHERE e.day IN (SELECT r.day FROM run_days AS r) GROUP BY e.source, e.reason
)
SELECT
    x.source, x.reason, x.rejected, COALESCE(t.events, 0) AS events,
    CAST(x.rejected AS DOUBLE) / (x.rejected + COALESCE(t.events, 0)) AS share
FROM rejected AS x
LEFT JOIN told AS t ON x.source = t.source
ORDER BY share DESC, x.source, x.reason
