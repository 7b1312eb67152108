-- Share of what sources gave that was rejected, by source and reason, and of the source (share_of_source), over all days and
-- over those since $recent_day, the largest first. What APM gives are sightings; deployments are inferred from them.
WITH periods AS (
    SELECT 'all days' AS period, 1 AS place, NULL AS first_day
    UNION ALL
    SELECT 'last 30 days' AS period, 2 AS place, CAST($recent_day AS DATE) AS first_day
),
usable AS (
    SELECT p.period, e.source, SUM(e.records) AS events
    FROM (
        SELECT d.source, d.day, 1 AS records FROM landing.deployments AS d WHERE d.input IS NOT NULL
        UNION ALL
        SELECT f.source, f.day, 1 AS records FROM landing.failures AS f
        UNION ALL
        SELECT 'apm_deployment_tracking' AS source, a.day, a.sightings AS records FROM landing.version_activity AS a
    ) AS e
    JOIN periods AS p ON p.first_day IS NULL OR e.day >= p.first_day
    GROUP BY p.period, e.source
),
rejected AS (
    SELECT p.period, p.place, r.source, r.reason, CAST(SUM(r.records) AS BIGINT) AS rejected
    FROM core.rejected_events AS r
    JOIN periods AS p ON p.first_day IS NULL OR r.day >= p.first_day
    GROUP BY p.period, p.place, r.source, r.reason
),
given AS (
    SELECT x.period, x.source, SUM(x.rejected) AS rejected, SUM(x.rejected) + COALESCE(MAX(u.events), 0) AS records
    FROM rejected AS x
    LEFT JOIN usable AS u ON x.source = u.source AND x.period = u.period
    GROUP BY x.period, x.source
)
SELECT
    x.period, x.place, x.source, x.reason, x.rejected, CAST(g.records - g.rejected AS BIGINT) AS events,
    CAST(x.rejected AS DOUBLE) / g.records AS share, CAST(g.rejected AS DOUBLE) / g.records AS share_of_source
FROM rejected AS x
JOIN given AS g ON x.source = g.source AND x.period = g.period
ORDER BY x.place, share DESC, x.source, x.reason
