-- The figures of the days from $from_day to $to_day as one period: the columns of metrics.summary by env, by service and env, or
-- by team and env, as $dimension says. Whoever has an event since $since_day has a row; open failures are those of any age that
-- were not restored by the end of $to_day.
WITH beginnings AS (
    {metrics.beginnings}
),
known AS (
    SELECT
        CAST($to_day AS DATE) AS last_day, CAST(NULL AS VARCHAR) AS source, LEAST(p.counted_until, NOW()) AS open_at, {metrics.known}
    FROM (
        SELECT
            b.deployments_since, b.failures_since, b.links_since,
            metrics.start_of(CAST($from_day AS DATE), b.day_offsets) AS starts_at,
            metrics.start_of(CAST($to_day AS DATE) + 1, b.day_offsets) AS counted_until
        FROM beginnings AS b
    ) AS p
),
-- Each counts once, however many services of a member it impacts.
failures AS MATERIALIZED (
    SELECT DISTINCT
        f.measure, f.seconds, f.day, f.event_id,
        CASE WHEN $dimension = 'service' THEN f.service END AS service,
        f.env,
        CASE WHEN $dimension = 'team' OR ($dimension = 'service' AND f.service IS NULL) THEN f.team END AS team
    FROM (
        SELECT
            CASE WHEN m.day >= $from_day THEN m.measure END AS measure, m.seconds, m.day, m.service, m.env, m.team, m.event_id
        FROM metrics.measures AS m
        WHERE m.measure IN ('failure', 'restore') AND m.day >= $since_day AND m.day <= $to_day
        UNION ALL
        SELECT
            'open_failure' AS measure, CAST(EPOCH_US(p.open_at) - EPOCH_US(f.started_at) AS DOUBLE) / 1000000 AS seconds,
            f.day, f.service, f.env, f.team, f.failure_id AS event_id
        FROM core.failures AS f
        INNER JOIN known AS p ON {metrics.is_open}
        WHERE f.is_selected AND f.started_at <= NOW()
    ) AS f
),
without_env AS (
    SELECT m.service, m.team, {metrics.without_env}
    FROM failures AS m
    WHERE m.env IS NULL
    GROUP BY m.service, m.team
)
SELECT
    $dimension AS dimension, s.service, s.env, s.team,
    {metrics.figures},
    {metrics.intervals},
    COALESCE(w.failures, 0) AS failures_without_env, COALESCE(w.restores, 0) AS restores_without_env
FROM (
    SELECT
        x.service, x.env, x.team,
        {metrics.placed_statistics},
        {metrics.placed_interval_statistics}
    FROM (
        SELECT
            m.service, m.env, m.team, m.measure,
            {metrics.statistics},
            {metrics.interval_statistics},
            MAX(m.seconds) AS most_seconds
        FROM (
            SELECT
                CASE WHEN d.day >= $from_day THEN d.measure END AS measure, d.seconds,
                CASE WHEN $dimension = 'service' THEN d.service END AS service,
                d.env,
                CASE WHEN $dimension = 'team' OR ($dimension = 'service' AND d.service IS NULL) THEN d.team END AS team
            FROM metrics.measures AS d
            WHERE d.measure NOT IN ('failure', 'restore') AND d.day >= $since_day AND d.day <= $to_day
                AND (d.day >= $from_day OR d.measure = 'deployment')
            UNION ALL
            SELECT f.measure, f.seconds, f.service, f.env, f.team
            FROM failures AS f
        ) AS m
        GROUP BY m.service, m.env, m.team, m.measure
    ) AS x
    GROUP BY x.service, x.env, x.team
) AS s
CROSS JOIN known AS p
LEFT JOIN without_env AS w
    ON s.service IS NOT DISTINCT FROM w.service AND s.team IS NOT DISTINCT FROM w.team AND s.env IS NOT NULL
ORDER BY s.env, s.deployments DESC, s.failures DESC, s.service, s.team
