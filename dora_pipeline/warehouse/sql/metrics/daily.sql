-- metrics.daily for the days in run_days. A failure counts on the day it started, its restore on the day of the restore.
-- Means are sums of whole microseconds, so that they do not depend on the order of the rows.
WITH deployments AS (
    SELECT d.deployment_id, d.service, d.env, d.team, d.finished_at, d.lead_time_mean_seconds, d.day
    FROM core.deployments AS d
    WHERE d.is_selected AND d.duplicate_of IS NULL AND d.day IN (SELECT r.day FROM run_days AS r)
),
started AS (
    SELECT f.failure_id, f.service, f.env, f.team, f.started_at, f.day
    FROM core.failures AS f
    WHERE f.is_selected AND f.day IN (SELECT r.day FROM run_days AS r)
),
restored AS (
    SELECT f.failure_id, f.service, f.env, f.team, f.finished_at, f.time_to_restore_seconds, f.restored_day AS day
    FROM core.failures AS f
    WHERE f.is_selected AND f.time_to_restore_seconds IS NOT NULL AND f.restored_day IN (SELECT r.day FROM run_days AS r)
),
named AS (
    SELECT
        e.day, e.service, e.env, e.team, CASE WHEN e.service IS NULL THEN e.team END AS team_alone,
        ROW_NUMBER() OVER (
            PARTITION BY e.day, e.service, e.env, CASE WHEN e.service IS NULL THEN e.team END
            ORDER BY CASE WHEN e.team IS NULL THEN 1 ELSE 0 END, e.occurred_at DESC, e.event_id
        ) AS place
    FROM (
        SELECT d.day, d.service, d.env, d.team, d.finished_at AS occurred_at, d.deployment_id AS event_id FROM deployments AS d
        UNION ALL
        SELECT s.day, s.service, s.env, s.team, s.started_at AS occurred_at, s.failure_id AS event_id FROM started AS s
        UNION ALL
        SELECT x.day, x.service, x.env, x.team, x.finished_at AS occurred_at, x.failure_id AS event_id FROM restored AS x
    ) AS e
),
deployment_figures AS (
    SELECT
        d.day, d.service, d.env,
        COUNT(*) AS deployments,
        PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY d.lead_time_mean_seconds) AS deployment_lead_time_p50_seconds
    FROM deployments AS d
    GROUP BY d.day, d.service, d.env
),
commit_figures AS (
    SELECT
        d.day, d.service, d.env,
        COUNT(c.lead_time_seconds) AS lead_time_commits,
        PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY c.lead_time_seconds) AS lead_time_p50_seconds,
        PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY c.lead_time_seconds) AS lead_time_p90_seconds,
        CAST(SUM(CAST(ROUND(c.lead_time_seconds * 1000000) AS BIGINT)) AS DOUBLE) / NULLIF(COUNT(c.lead_time_seconds), 0) / 1000000 AS lead_time_mean_seconds
    FROM core.deployment_commits AS c
    INNER JOIN deployments AS d ON c.deployment_id = d.deployment_id
    GROUP BY d.day, d.service, d.env
),
failure_figures AS (
    SELECT s.day, s.service, s.env, CASE WHEN s.service IS NULL THEN s.team END AS team_alone, COUNT(*) AS failures
    FROM started AS s
    GROUP BY s.day, s.service, s.env, CASE WHEN s.service IS NULL THEN s.team END
),
restore_figures AS (
    SELECT
        x.day, x.service, x.env, CASE WHEN x.service IS NULL THEN x.team END AS team_alone,
        COUNT(*) AS restores,
        PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY x.time_to_restore_seconds) AS time_to_restore_p50_seconds,
        PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY x.time_to_restore_seconds) AS time_to_restore_p90_seconds,
        CAST(SUM(CAST(ROUND(x.time_to_restore_seconds * 1000000) AS BIGINT)) AS DOUBLE) / COUNT(*) / 1000000 AS time_to_restore_mean_seconds
    FROM restored AS x
    GROUP BY x.day, x.service, x.env, CASE WHEN x.service IS NULL THEN x.team END
)
SELECT
    n.day, n.service, n.env, n.team,
    COALESCE(d.deployments, 0) AS deployments,
    COALESCE(f.failures, 0) AS failures,
    CASE WHEN d.deployments > 0 THEN CAST(COALESCE(f.failures, 0) AS DOUBLE) / d.deployments END AS change_failure_rate,
    COALESCE(c.lead_time_commits, 0) AS lead_time_commits,
    c.lead_time_p50_seconds, c.lead_time_p90_seconds, c.lead_time_mean_seconds,
    d.deployment_lead_time_p50_seconds,
    COALESCE(x.restores, 0) AS restores,
    x.time_to_restore_p50_seconds, x.time_to_restore_p90_seconds, x.time_to_restore_mean_seconds
FROM named AS n
LEFT JOIN deployment_figures AS d
    ON n.day = d.day AND n.service = d.service AND n.env IS NOT DISTINCT FROM d.env
LEFT JOIN commit_figures AS c
    ON n.day = c.day AND n.service = c.service AND n.env IS NOT DISTINCT FROM c.env
LEFT JOIN failure_figures AS f
    ON n.day = f.day AND n.service IS NOT DISTINCT FROM f.service AND n.env IS NOT DISTINCT FROM f.env
    AND n.team_alone IS NOT DISTINCT FROM f.team_alone
LEFT JOIN restore_figures AS x
    ON n.day = x.day AND n.service IS NOT DISTINCT FROM x.service AND n.env IS NOT DISTINCT FROM x.env
    AND n.team_alone IS NOT DISTINCT FROM x.team_alone
WHERE n.place = 1
