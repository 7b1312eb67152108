-- The figures of the days from $from_day to $to_day as one period: the columns of metrics.summary by env, by service and
-- env, and by team and env. Whatever was told of since $since_day has a row; open failures are those of any age.
WITH dimensions AS (
    SELECT 'env' AS dimension
    UNION ALL
    SELECT 'service' AS dimension
    UNION ALL
    SELECT 'team' AS dimension
),
deployments AS (
    SELECT
        x.dimension,
        CASE WHEN x.dimension = 'service' THEN d.service END AS service,
        d.env,
        CASE WHEN x.dimension = 'team' THEN d.team END AS team,
        d.deployment_id, d.lead_time_mean_seconds, d.day
    FROM core.deployments AS d
    CROSS JOIN dimensions AS x
    WHERE d.is_selected AND d.duplicate_of IS NULL AND d.day >= $since_day AND d.day <= $to_day
),
failures AS (
    SELECT DISTINCT
        x.dimension,
        CASE WHEN x.dimension = 'service' THEN f.service END AS service,
        f.env,
        CASE WHEN x.dimension = 'team' OR (x.dimension = 'service' AND f.service IS NULL) THEN f.team END AS team,
        f.failure_id, f.time_to_restore_seconds, f.finished_at, f.day, f.restored_day
    FROM core.failures AS f
    CROSS JOIN dimensions AS x
    WHERE f.is_selected AND f.day <= $to_day
        AND (f.day >= $since_day OR f.restored_day >= $since_day OR f.finished_at IS NULL)
),
members AS (
    SELECT d.dimension, d.service, d.env, d.team FROM deployments AS d
    UNION
    SELECT f.dimension, f.service, f.env, f.team FROM failures AS f
),
deployment_figures AS (
    SELECT
        d.dimension, d.service, d.env, d.team,
        COUNT(*) AS deployments,
        PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY d.lead_time_mean_seconds) AS deployment_lead_time_p50_seconds
    FROM deployments AS d
    WHERE d.day >= $from_day
    GROUP BY d.dimension, d.service, d.env, d.team
),
commit_figures AS (
    SELECT
        d.dimension, d.service, d.env, d.team,
        COUNT(c.lead_time_seconds) AS lead_time_commits,
        PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY c.lead_time_seconds) AS lead_time_p50_seconds,
        PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY c.lead_time_seconds) AS lead_time_p90_seconds,
        CAST(SUM(CAST(ROUND(c.lead_time_seconds * 1000000) AS BIGINT)) AS DOUBLE) / NULLIF(COUNT(c.lead_time_seconds), 0) / 1000000 AS lead_time_mean_seconds
    FROM core.deployment_commits AS c
    INNER JOIN deployments AS d ON c.deployment_id = d.deployment_id
    WHERE d.day >= $from_day AND c.day >= $from_day AND c.day <= $to_day
    GROUP BY d.dimension, d.service, d.env, d.team
),
failure_figures AS (
    SELECT
        f.dimension, f.service, f.env, f.team,
        SUM(CASE WHEN f.day >= $from_day THEN 1 ELSE 0 END) AS failures,
        SUM(CASE WHEN f.finished_at IS NULL THEN 1 ELSE 0 END) AS open_failures
    FROM failures AS f
    GROUP BY f.dimension, f.service, f.env, f.team
),
restore_figures AS (
    SELECT
        f.dimension, f.service, f.env, f.team,
        COUNT(*) AS restores,
        PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY f.time_to_restore_seconds) AS time_to_restore_p50_seconds,
        PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY f.time_to_restore_seconds) AS time_to_restore_p90_seconds,
        CAST(SUM(CAST(ROUND(f.time_to_restore_seconds * 1000000) AS BIGINT)) AS DOUBLE) / COUNT(*) / 1000000 AS time_to_restore_mean_seconds
    FROM failures AS f
    WHERE f.time_to_restore_seconds IS NOT NULL AND f.restored_day >= $from_day AND f.restored_day <= $to_day
    GROUP BY f.dimension, f.service, f.env, f.team
)
SELECT
    m.dimension, m.service, m.env, m.team,
    COALESCE(d.deployments, 0) AS deployments,
    COALESCE(f.failures, 0) AS failures,
    CASE WHEN d.deployments > 0 THEN CAST(COALESCE(f.failures, 0) AS DOUBLE) / d.deployments END AS change_failure_rate,
    COALESCE(c.lead_time_commits, 0) AS lead_time_commits,
    c.lead_time_p50_seconds, c.lead_time_p90_seconds, c.lead_time_mean_seconds,
    d.deployment_lead_time_p50_seconds,
    COALESCE(x.restores, 0) AS restores,
    x.time_to_restore_p50_seconds, x.time_to_restore_p90_seconds, x.time_to_restore_mean_seconds,
    COALESCE(f.open_failures, 0) AS open_failures
FROM members AS m
LEFT JOIN deployment_figures AS d
    ON m.dimension = d.dimension AND m.service IS NOT DISTINCT FROM d.service
    AND m.env IS NOT DISTINCT FROM d.env AND m.team IS NOT DISTINCT FROM d.team
LEFT JOIN commit_figures AS c
    ON m.dimension = c.dimension AND m.service IS NOT DISTINCT FROM c.service
    AND m.env IS NOT DISTINCT FROM c.env AND m.team IS NOT DISTINCT FROM c.team
LEFT JOIN failure_figures AS f
    ON m.dimension = f.dimension AND m.service IS NOT DISTINCT FROM f.service
    AND m.env IS NOT DISTINCT FROM f.env AND m.team IS NOT DISTINCT FROM f.team
LEFT JOIN restore_figures AS x
    ON m.dimension = x.dimension AND m.service IS NOT DISTINCT FROM x.service
    AND m.env IS NOT DISTINCT FROM x.env AND m.team IS NOT DISTINCT FROM x.team
ORDER BY m.dimension, m.env, deployments DESC, failures DESC, m.service, m.team
