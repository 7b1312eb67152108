-- metrics.daily for the days in run_days. A failure counts on the day it started, its restore on the day of the restore.
WITH counted AS (
    SELECT
        m.measure, m.seconds, m.day, m.service, m.env, m.team, CASE WHEN m.service IS NULL THEN m.team END AS team_alone,
        m.event_id, m.occurred_at
    FROM metrics.measures AS m
    WHERE m.day IN (SELECT r.day FROM run_days AS r)
),
members AS (
    SELECT
        m.day, m.service, m.env, m.team_alone,
        {metrics.newest_team} AS team
    FROM counted AS m
    WHERE m.measure <> 'commit'
    GROUP BY m.day, m.service, m.env, m.team_alone
)
SELECT
    s.day, s.service, s.env, MAX(n.team) AS team,
    {metrics.figures}
FROM (
    SELECT
        m.day, m.service, m.env, m.team_alone, m.measure,
        {metrics.statistics}
    FROM counted AS m
    GROUP BY m.day, m.service, m.env, m.team_alone, m.measure
) AS s
INNER JOIN members AS n
    ON s.day = n.day AND s.service IS NOT DISTINCT FROM n.service AND s.env IS NOT DISTINCT FROM n.env
    AND s.team_alone IS NOT DISTINCT FROM n.team_alone
GROUP BY s.day, s.service, s.env, s.team_alone
