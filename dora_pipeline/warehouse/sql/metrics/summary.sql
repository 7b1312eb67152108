-- metrics.summary(grain, from_day, to_day): the columns of metrics.daily by period, service and env, computed from the
-- events of the days from from_day to to_day, both included. Every service and env that was told of up to to_day has a
-- row in every period: counts are 0 and rates NULL where there was nothing.
CREATE OR REPLACE MACRO metrics.summary(grain, from_day, to_day) AS TABLE
WITH deployments AS (
    SELECT
        d.deployment_id, d.service, d.env, d.team, d.finished_at, d.lead_time_mean_seconds, d.day,
        metrics.period(grain, d.day) AS period
    FROM core.deployments AS d
    WHERE d.is_selected AND d.duplicate_of IS NULL AND d.day <= CAST(to_day AS DATE)
),
failures AS (
    SELECT
        f.failure_id, f.service, f.env, f.team, f.started_at, f.time_to_restore_seconds, f.day, f.restored_day,
        CASE WHEN f.service IS NULL THEN f.team END AS team_alone
    FROM core.failures AS f
    WHERE f.is_selected AND f.day <= CAST(to_day AS DATE)
),
named AS (
    SELECT
        e.service, e.env, e.team, e.team_alone,
        ROW_NUMBER() OVER (
            PARTITION BY e.service, e.env, e.team_alone
            ORDER BY CASE WHEN e.team IS NULL THEN 1 ELSE 0 END, e.occurred_at DESC, e.event_id
        ) AS place
    FROM (
        SELECT d.service, d.env, d.team, CAST(NULL AS VARCHAR) AS team_alone, d.finished_at AS occurred_at, d.deployment_id AS event_id
        FROM deployments AS d
        UNION ALL
        SELECT f.service, f.env, f.team, f.team_alone, f.started_at AS occurred_at, f.failure_id AS event_id
        FROM failures AS f
    ) AS e
),
periods AS (
    SELECT DISTINCT metrics.period(grain, CAST(g.moment AS DATE)) AS period
    FROM GENERATE_SERIES(CAST(CAST(from_day AS DATE) AS TIMESTAMP), CAST(CAST(to_day AS DATE) AS TIMESTAMP), INTERVAL '1 day') AS g(moment)
),
deployment_figures AS (
    SELECT
        d.period, d.service, d.env,
        COUNT(*) AS deployments,
        PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY d.lead_time_mean_seconds) AS deployment_lead_time_p50_seconds
    FROM deployments AS d
    WHERE d.day >= CAST(from_day AS DATE)
    GROUP BY d.period, d.service, d.env
),
commit_figures AS (
    SELECT
        d.period, d.service, d.env,
        COUNT(c.lead_time_seconds) AS lead_time_commits,
        PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY c.lead_time_seconds) AS lead_time_p50_seconds,
        PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY c.lead_time_seconds) AS lead_time_p90_seconds,
        CAST(SUM(CAST(ROUND(c.lead_time_seconds * 1000000) AS BIGINT)) AS DOUBLE) / NULLIF(COUNT(c.lead_time_seconds), 0) / 1000000 AS lead_time_mean_seconds
    FROM core.deployment_commits AS c
    INNER JOIN deployments AS d ON c.deployment_id = d.deployment_id
    WHERE d.day >= CAST(from_day AS DATE)
    GROUP BY d.period, d.service, d.env
),
failure_figures AS (
    SELECT metrics.period(grain, f.day) AS period, f.service, f.env, f.team_alone, COUNT(*) AS failures
    FROM failures AS f
    WHERE f.day >= CAST(from_day AS DATE)
    GROUP BY metrics.period(grain, f.day), f.service, f.env, f.team_alone
),
restore_figures AS (
    SELECT
        metrics.period(grain, f.restored_day) AS period, f.service, f.env, f.team_alone,
        COUNT(*) AS restores,
        PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY f.time_to_restore_seconds) AS time_to_restore_p50_seconds,
        PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY f.time_to_restore_seconds) AS time_to_restore_p90_seconds,
        CAST(SUM(CAST(ROUND(f.time_to_restore_seconds * 1000000) AS BIGINT)) AS DOUBLE) / COUNT(*) / 1000000 AS time_to_restore_mean_seconds
    FROM failures AS f
    WHERE f.time_to_restore_seconds IS NOT NULL
        AND f.restored_day >= CAST(from_day AS DATE) AND f.restored_day <= CAST(to_day AS DATE)
    GROUP BY metrics.period(grain, f.restored_day), f.service, f.env, f.team_alone
)
SELECT
    p.period, n.service, n.env, n.team,
    COALESCE(d.deployments, 0) AS deployments,
    COALESCE(f.failures, 0) AS failures,
    CASE WHEN d.deployments > 0 THEN CAST(COALESCE(f.failures, 0) AS DOUBLE) / d.deployments END AS change_failure_rate,
    COALESCE(c.lead_time_commits, 0) AS lead_time_commits,
    c.lead_time_p50_seconds, c.lead_time_p90_seconds, c.lead_time_mean_seconds,
    d.deployment_lead_time_p50_seconds,
    COALESCE(x.restores, 0) AS restores,
    x.time_to_restore_p50_seconds, x.time_to_restore_p90_seconds, x.time_to_restore_mean_seconds
FROM named AS n
CROSS JOIN periods AS p
LEFT JOIN deployment_figures AS d
    ON p.period = d.period AND n.service = d.service AND n.env IS NOT DISTINCT FROM d.env
LEFT JOIN commit_figures AS c
    ON p.period = c.period AND n.service = c.service AND n.env IS NOT DISTINCT FROM c.env
LEFT JOIN failure_figures AS f
    ON p.period = f.period AND n.service IS NOT DISTINCT FROM f.service AND n.env IS NOT DISTINCT FROM f.env
    AND n.team_alone IS NOT DISTINCT FROM f.team_alone
LEFT JOIN restore_figures AS x
    ON p.period = x.period AND n.service IS NOT DISTINCT FROM x.service AND n.env IS NOT DISTINCT FROM x.env
    AND n.team_alone IS NOT DISTINCT FROM x.team_alone
WHERE n.place = 1
ORDER BY p.period, n.service, n.env, n.team
