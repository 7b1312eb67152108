-- The figures of the days from $from_day to $to_day as one period: the columns of metrics.summary by env, by service and
-- env, and by team and env. Whoever has an event since $since_day has a row; open failures are those of any age.
WITH known AS (
    SELECT
        CASE WHEN m.day >= $from_day THEN m.measure END AS measure, m.seconds, m.day, m.service, m.env, m.team, m.event_id,
        CASE WHEN m.measure IN ('deployment', 'commit') THEN TRUE ELSE FALSE END AS is_of_deployment
    FROM metrics.measures AS m
    WHERE m.day >= $since_day AND m.day <= $to_day AND (m.day >= $from_day OR m.measure <> 'commit')
    UNION ALL
    SELECT
        'open failure' AS measure, CAST(NULL AS DOUBLE) AS seconds, f.day, f.service, f.env, f.team, f.failure_id AS event_id,
        FALSE AS is_of_deployment
    FROM core.failures AS f
    WHERE f.is_selected AND f.finished_at IS NULL AND f.day <= $to_day
),
placed AS (
    SELECT
        k.measure, k.seconds, k.day, k.event_id, k.is_of_deployment, x.dimension,
        CASE WHEN x.dimension = 'service' THEN k.service END AS service,
        k.env,
        CASE WHEN x.dimension = 'team' OR (x.dimension = 'service' AND k.service IS NULL) THEN k.team END AS team
    FROM known AS k
    CROSS JOIN (
        SELECT 'env' AS dimension
        UNION ALL
        SELECT 'service' AS dimension
        UNION ALL
        SELECT 'team' AS dimension
    ) AS x
),
counted AS (
    SELECT p.measure, p.seconds, p.dimension, p.service, p.env, p.team FROM placed AS p WHERE p.is_of_deployment
    UNION ALL
    SELECT f.measure, f.seconds, f.dimension, f.service, f.env, f.team
    FROM (
        SELECT DISTINCT p.measure, p.seconds, p.day, p.event_id, p.dimension, p.service, p.env, p.team
        FROM placed AS p
        WHERE NOT p.is_of_deployment
    ) AS f
)
SELECT
    s.dimension, s.service, s.env, s.team,
    {metrics.figures},
    COALESCE(MAX(CASE WHEN s.measure = 'open failure' THEN s.number END), 0) AS open_failures
FROM (
    SELECT
        m.dimension, m.service, m.env, m.team, m.measure,
        {metrics.statistics}
    FROM counted AS m
    GROUP BY m.dimension, m.service, m.env, m.team, m.measure
) AS s
GROUP BY s.dimension, s.service, s.env, s.team
ORDER BY s.dimension, s.env, deployments DESC, failures DESC, s.service, s.team
