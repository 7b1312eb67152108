-- metrics.summary_by(dimension, grain, from_day, to_day): the columns of metrics.summary over env, team or all, computed
-- from the events. The column of the dimension holds its value, the other names are NULL. A failure that impacts several
-- services is one failure here.
CREATE OR REPLACE MACRO metrics.summary_by(dimension, grain, from_day, to_day) AS TABLE
WITH deployments AS (
    SELECT
        d.deployment_id, d.lead_time_mean_seconds, d.day,
        metrics.period(grain, d.day) AS period,
        CASE dimension WHEN 'env' THEN d.env WHEN 'team' THEN d.team WHEN 'all' THEN CAST(NULL AS VARCHAR)
             ELSE ERROR('dimension is one of env, team, all') END AS member
    FROM core.deployments AS d
    WHERE d.is_selected AND d.duplicate_of IS NULL AND d.day <= CAST(to_day AS DATE)
),
failures AS (
    SELECT DISTINCT
        f.failure_id, f.time_to_restore_seconds, f.day, f.restored_day,
        CASE dimension WHEN 'env' THEN f.env WHEN 'team' THEN f.team WHEN 'all' THEN CAST(NULL AS VARCHAR)
             ELSE ERROR('dimension is one of env, team, all') END AS member
    FROM core.failures AS f
    WHERE f.is_selected AND f.day <= CAST(to_day AS DATE)
),
members AS (
    SELECT d.member FROM deployments AS d
    UNION
    SELECT f.member FROM failures AS f
    UNION
    SELECT CAST(NULL AS VARCHAR) AS member WHERE dimension = 'all'
),
periods AS (
    SELECT DISTINCT metrics.period(grain, CAST(g.moment AS DATE)) AS period
    FROM GENERATE_SERIES(CAST(CAST(from_day AS DATE) AS TIMESTAMP), CAST(CAST(to_day AS DATE) AS TIMESTAMP), INTERVAL '1 day') AS g(moment)
),
deployment_figures AS (
    SELECT
        d.period, d.member,
        COUNT(*) AS deployments,
        PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY d.lead_time_mean_seconds) AS deployment_lead_time_p50_seconds
    FROM deployments AS d
    WHERE d.day >= CAST(from_day AS DATE)
    GROUP BY d.period, d.member
),
commit_figures AS (
    SELECT
        d.period, d.member,
        COUNT(c.lead_time_seconds) AS lead_time_commits,
        PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY c.lead_time_seconds) AS lead_time_p50_seconds,
        PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY c.lead_time_seconds) AS lead_time_p90_seconds,
        CAST(SUM(CAST(ROUND(c.lead_time_seconds * 1000000) AS BIGINT)) AS DOUBLE) / NULLIF(COUNT(c.lead_time_seconds), 0) / 1000000 AS lead_time_mean_seconds
    FROM core.deployment_commits AS c
    INNER JOIN deployments AS d ON c.deployment_id = d.deployment_id
    WHERE d.day >= CAST(from_day AS DATE)
    GROUP BY d.period, d.member
),
failure_figures AS (
    SELECT metrics.period(grain, f.day) AS period, f.member, COUNT(*) AS failures
    FROM failures AS f
    WHERE f.day >= CAST(from_day AS DATE)
    GROUP BY metrics.period(grain, f.day), f.member
),
restore_figures AS (
    SELECT
        metrics.period(grain, f.restored_day) AS period, f.member,
        COUNT(*) AS restores,
        PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY f.time_to_restore_seconds) AS time_to_restore_p50_seconds,
        PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY f.time_to_restore_seconds) AS time_to_restore_p90_seconds,
        CAST(SUM(CAST(ROUND(f.time_to_restore_seconds * 1000000) AS BIGINT)) AS DOUBLE) / COUNT(*) / 1000000 AS time_to_restore_mean_seconds
    FROM failures AS f
    WHERE f.time_to_restore_seconds IS NOT NULL
        AND f.restored_day >= CAST(from_day AS DATE) AND f.restored_day <= CAST(to_day AS DATE)
    GROUP BY metrics.period(grain, f.restored_day), f.member
)
SELECT
    p.period,
    CAST(NULL AS VARCHAR) AS service,
    CASE WHEN dimension = 'env' THEN m.member END AS env,
    CASE WHEN dimension = 'team' THEN m.member END AS team,
    COALESCE(d.deployments, 0) AS deployments,
    COALESCE(f.failures, 0) AS failures,
    CASE WHEN d.deployments > 0 THEN CAST(COALESCE(f.failures, 0) AS DOUBLE) / d.deployments END AS change_failure_rate,
    COALESCE(c.lead_time_commits, 0) AS lead_time_commits,
    c.lead_time_p50_seconds, c.lead_time_p90_seconds, c.lead_time_mean_seconds,
    d.deployment_lead_time_p50_seconds,
    COALESCE(x.restores, 0) AS restores,
    x.time_to_restore_p50_seconds, x.time_to_restore_p90_seconds, x.time_to_restore_mean_seconds
FROM members AS m
CROSS JOIN periods AS p
LEFT JOIN deployment_figures AS d ON p.period = d.period AND m.member IS NOT DISTINCT FROM d.member
LEFT JOIN commit_figures AS c ON p.period = c.period AND m.member IS NOT DISTINCT FROM c.member
LEFT JOIN failure_figures AS f ON p.period = f.period AND m.member IS NOT DISTINCT FROM f.member
LEFT JOIN restore_figures AS x ON p.period = x.period AND m.member IS NOT DISTINCT FROM x.member
ORDER BY p.period, m.member
