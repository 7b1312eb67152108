-- metrics.explain(from_day, to_day, service, env): the events behind each figure of a service from from_day to to_day, both
-- included, and those that are left out, with the reason. The figures are those of metrics.daily. Where env is NULL, of
-- every env; where service is NULL, failures of which only a team is known. A failure that names no env is left
-- out of each.
CREATE OR REPLACE MACRO metrics.explain(from_day, to_day, service, env) AS TABLE
WITH explained AS NOT MATERIALIZED (
    {metrics.explained}
),
run_days AS (
    SELECT DISTINCT m.day FROM metrics.daily AS m WHERE m.day >= CAST(from_day AS DATE) AND m.day <= CAST(to_day AS DATE)
),
known_days AS (
    {metrics.known_days}
),
judged AS NOT MATERIALIZED (
    SELECT
        e.figure, e.day, e.occurred_at, e.env, e.event_type, e.event_id, e.source, e.seconds, e.details,
        COALESCE(
            -- What was rejected has no id.
            e.left_out || CASE WHEN env IS NOT NULL AND e.env IS NULL AND e.event_id IS NULL THEN ', no_env' ELSE '' END,
            CASE WHEN env IS NOT NULL AND e.env IS NULL AND e.event_type = 'failure' THEN 'no_env' END,
            e.lacking,
            CASE WHEN e.figure = 'linked_failures' AND NOT k.are_links_known THEN 'failures_not_known' END
        ) AS reason
    FROM explained AS e
    LEFT JOIN known_days AS k ON e.day = k.day
    WHERE e.service IS NOT DISTINCT FROM service AND e.day >= CAST(from_day AS DATE) AND e.day <= CAST(to_day AS DATE)
        -- A failure that names no env can be of any, and what was rejected and names none too.
        AND (env IS NULL OR e.env = env OR e.env IS NULL AND (e.event_type = 'failure' OR e.event_id IS NULL))
)
SELECT
    e.figure, CASE WHEN e.reason IS NULL THEN TRUE ELSE FALSE END AS is_counted, e.reason, e.day, e.occurred_at, e.env,
    e.event_type, e.event_id, e.source, e.seconds, e.details
FROM judged AS e
ORDER BY
    CASE e.figure WHEN 'deployments' THEN 1 WHEN 'lead_time_deployments' THEN 2 WHEN 'lead_time_commits' THEN 3
        WHEN 'failures' THEN 4 WHEN 'restores' THEN 5 WHEN 'failed_changes' THEN 6 WHEN 'recoveries' THEN 7
        WHEN 'rework_deployments' THEN 8 ELSE 9 END,
    e.occurred_at, e.event_id, e.details
