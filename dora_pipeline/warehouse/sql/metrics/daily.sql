-- metrics.daily for the days in run_days. A failure counts on the day it started, its restore on the day of the restore; a
-- failed change counts on the day of the deployment that failed, rework on that of the one that mended it. What can be
-- known of the days stands in known_days.
WITH counted AS (
    SELECT
        m.measure, m.seconds, m.day, m.service, m.env, m.team, CASE WHEN m.service IS NULL THEN m.team END AS team_alone,
        m.event_id, m.occurred_at
    FROM metrics.measures AS m
    -- The days of most loads lie together: the range leaves others out before rows are compared with each day.
    WHERE m.day BETWEEN $first_day AND $last_day AND m.day IN (SELECT r.day FROM run_days AS r)
),
teams AS (
    SELECT
        m.day, m.service, m.env, m.team_alone,
        {metrics.newest_team} AS team
    FROM counted AS m
    WHERE m.team IS NOT NULL AND m.measure IN ('deployment', 'failure', 'restore')
    GROUP BY m.day, m.service, m.env, m.team_alone
),
without_env AS (
    SELECT m.day, m.service, m.team_alone, {metrics.without_env}
    FROM counted AS m
    WHERE m.env IS NULL AND m.measure IN ('failure', 'restore')
    GROUP BY m.day, m.service, m.team_alone
)
SELECT
    s.day, s.service, s.env, n.team,
    {metrics.figures}
FROM (
    SELECT
        c.*, t.lead_time_p50_seconds, t.lead_time_p90_seconds, t.lead_time_mean_seconds, t.deployment_lead_time_p50_seconds,
        t.time_to_restore_p50_seconds, t.time_to_restore_p90_seconds, t.time_to_restore_mean_seconds, t.recovery_p50_seconds
    -- Most groups have counts alone, which take little room while they are taken.
    FROM (
        SELECT
            m.day, m.service, m.env, m.team_alone,
            {metrics.counts}
        FROM counted AS m
        GROUP BY m.day, m.service, m.env, m.team_alone
    ) AS c
    LEFT JOIN (
        SELECT
            x.day, x.service, x.env, x.team_alone,
            {metrics.placed_statistics}
        FROM (
            SELECT
                m.day, m.service, m.env, m.team_alone, m.measure,
                {metrics.statistics}
            FROM counted AS m
            WHERE m.seconds IS NOT NULL
            GROUP BY m.day, m.service, m.env, m.team_alone, m.measure
        ) AS x
        GROUP BY x.day, x.service, x.env, x.team_alone
    ) AS t
        ON c.day = t.day AND c.service IS NOT DISTINCT FROM t.service AND c.env IS NOT DISTINCT FROM t.env
        AND c.team_alone IS NOT DISTINCT FROM t.team_alone
) AS s
INNER JOIN known_days AS p ON s.day = p.day
LEFT JOIN teams AS n
    ON s.day = n.day AND s.service IS NOT DISTINCT FROM n.service AND s.env IS NOT DISTINCT FROM n.env
    AND s.team_alone IS NOT DISTINCT FROM n.team_alone
LEFT JOIN without_env AS w
    ON s.day = w.day AND s.service IS NOT DISTINCT FROM w.service AND s.team_alone IS NOT DISTINCT FROM w.team_alone AND s.env IS NOT NULL
