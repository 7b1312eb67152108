-- Share of what sources gave that was rejected, by source and reason, and of the source (share_of_source), over all days and
-- over those since $recent_day, the largest first. What APM gives are sightings; deployments are inferred from them, and
-- of those are the ones that share a second with another.
WITH periods AS (
    SELECT 'all days' AS period, 1 AS place, NULL AS first_day
    UNION ALL
    SELECT 'last 30 days' AS period, 2 AS place, CAST($recent_day AS DATE) AS first_day
),
usable AS (
    SELECT p.period, e.source, e.is_inferred, SUM(e.records) AS records
    FROM (
        SELECT d.source, FALSE AS is_inferred, d.day, 1 AS records FROM landing.deployments AS d WHERE d.input IS NOT NULL
        UNION ALL
        SELECT d.source, TRUE AS is_inferred, d.day, 1 AS records FROM landing.deployments AS d
        WHERE d.source = 'apm_deployment_tracking'
        UNION ALL
        SELECT f.source, FALSE AS is_inferred, f.day, 1 AS records FROM landing.failures AS f
        UNION ALL
        SELECT 'apm_deployment_tracking' AS source, FALSE AS is_inferred, a.day, a.sightings AS records
        FROM landing.version_activity AS a
    ) AS e
    JOIN periods AS p ON p.first_day IS NULL OR e.day >= p.first_day
    GROUP BY p.period, e.source, e.is_inferred
),
rejected AS (
    SELECT
        p.period, p.place, r.source, r.reason,
        r.source = 'apm_deployment_tracking' AND r.reason = 'same_second' AS is_inferred,
        CAST(SUM(r.records) AS BIGINT) AS rejected
    FROM core.rejected_events AS r
    JOIN periods AS p ON p.first_day IS NULL OR r.day >= p.first_day
    GROUP BY p.period, p.place, r.source, r.reason
),
given AS (
    SELECT
        x.period, x.source, x.is_inferred, SUM(x.rejected) AS rejected,
        -- Those of one second are among the usable ones, too.
        SUM(CASE WHEN x.reason = 'same_second' THEN 0 ELSE x.rejected END) + COALESCE(MAX(u.records), 0) AS records
    FROM rejected AS x
    LEFT JOIN usable AS u ON x.source = u.source AND x.period = u.period AND x.is_inferred = u.is_inferred
    GROUP BY x.period, x.source, x.is_inferred
)
SELECT
    x.period, x.place, x.source, x.reason, x.rejected, CAST(g.records - g.rejected AS BIGINT) AS events,
    CAST(x.rejected AS DOUBLE) / g.records AS share, CAST(g.rejected AS DOUBLE) / g.records AS share_of_source
FROM rejected AS x
JOIN given AS g ON x.source = g.source AND x.period = g.period AND x.is_inferred = g.is_inferred
ORDER BY x.place, share DESC, x.source, x.reason
