-- The figures of the days from $from_day to $to_day as one period: the columns of metrics.summary by env, by service and
-- env, and by team and env, of those that $dimensions names. Whoever has an event since $since_day has a row; open failures are those of any age.
WITH beginnings AS (
    {metrics.beginnings}
),
known AS (
    SELECT p.counted_until AS open_at, {metrics.known}
    FROM (
        SELECT
            b.deployments_since, b.failures_since, b.links_since,
            CAST(CAST($from_day AS DATE) AS TIMESTAMP) AT TIME ZONE b.timezone AS starts_at,
            CAST(CAST($to_day AS DATE) + 1 AS TIMESTAMP) AT TIME ZONE b.timezone AS counted_until
        FROM beginnings AS b
    ) AS p
),
events AS NOT MATERIALIZED (
    SELECT
        CASE WHEN m.day >= $from_day THEN m.measure END AS measure, m.seconds, m.day, m.service, m.env, m.team, m.event_id,
        CASE WHEN m.measure IN ('failure', 'restore') THEN FALSE ELSE TRUE END AS is_of_deployment
    FROM metrics.measures AS m
    WHERE m.day >= $since_day AND m.day <= $to_day AND (m.day >= $from_day OR m.measure IN ('deployment', 'failure', 'restore'))
    UNION ALL
    SELECT
        'open_failure' AS measure, CAST(NULL AS DOUBLE) AS seconds, f.day, f.service, f.env, f.team, f.failure_id AS event_id,
        FALSE AS is_of_deployment
    FROM core.failures AS f
    WHERE f.is_selected AND f.finished_at IS NULL AND f.day <= $to_day
),
placed AS NOT MATERIALIZED (
    SELECT
        k.measure, k.seconds, k.day, k.event_id, k.is_of_deployment, x.dimension,
        CASE WHEN x.dimension = 'service' THEN k.service END AS service,
        k.env,
        CASE WHEN x.dimension = 'team' OR (x.dimension = 'service' AND k.service IS NULL) THEN k.team END AS team
    FROM events AS k
    CROSS JOIN (
        SELECT 'env' AS dimension
        UNION ALL
        SELECT 'service' AS dimension
        UNION ALL
        SELECT 'team' AS dimension
    ) AS x
    WHERE LIST_CONTAINS($dimensions, x.dimension)
),
counted AS NOT MATERIALIZED (
    SELECT p.measure, p.seconds, p.dimension, p.service, p.env, p.team FROM placed AS p WHERE p.is_of_deployment
    UNION ALL
    SELECT f.measure, f.seconds, f.dimension, f.service, f.env, f.team
    FROM (
        SELECT DISTINCT p.measure, p.seconds, p.day, p.event_id, p.dimension, p.service, p.env, p.team
        FROM placed AS p
        WHERE NOT p.is_of_deployment
    ) AS f
),
without_env AS (
    SELECT m.dimension, m.service, m.team, {metrics.without_env}
    FROM counted AS m
    WHERE m.env IS NULL AND m.measure IN ('failure', 'restore')
    GROUP BY m.dimension, m.service, m.team
)
SELECT
    s.dimension, s.service, s.env, s.team,
    {metrics.figures},
    {metrics.intervals},
    COALESCE(w.failures, 0) AS failures_without_env, COALESCE(w.restores, 0) AS restores_without_env
FROM (
    SELECT
        x.dimension, x.service, x.env, x.team,
        {metrics.placed_statistics}
    FROM (
        SELECT
            m.dimension, m.service, m.env, m.team, m.measure,
            {metrics.statistics}
        FROM counted AS m
        GROUP BY m.dimension, m.service, m.env, m.team, m.measure
    ) AS x
    GROUP BY x.dimension, x.service, x.env, x.team
) AS s
CROSS JOIN known AS p
LEFT JOIN without_env AS w
    ON s.dimension = w.dimension AND s.service IS NOT DISTINCT FROM w.service AND s.team IS NOT DISTINCT FROM w.team AND s.env IS NOT NULL
ORDER BY s.dimension, s.env, s.deployments DESC, s.failures DESC, s.service, s.team
