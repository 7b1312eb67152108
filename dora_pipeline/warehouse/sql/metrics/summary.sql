-- metrics.summary(grain, from_day, to_day): the columns of metrics.daily by period, service and env, computed from the
-- events of the days from from_day to to_day, both included. Every service and env that has an event up to to_day has a
-- row in every period: counts are 0 and rates NULL where there was nothing.
CREATE OR REPLACE MACRO metrics.summary(grain, from_day, to_day) AS TABLE
WITH members AS (
    SELECT
        m.service, m.env, CASE WHEN m.service IS NULL THEN m.team END AS team_alone,
        {metrics.newest_team} AS team
    FROM metrics.measures AS m
    WHERE m.measure IN ('deployment', 'failure') AND m.day <= CAST(to_day AS DATE)
    GROUP BY m.service, m.env, CASE WHEN m.service IS NULL THEN m.team END
),
counted AS (
    SELECT
        m.measure, m.seconds, metrics.period(grain, m.day) AS period, m.service, m.env,
        CASE WHEN m.service IS NULL THEN m.team END AS team_alone, CAST(NULL AS VARCHAR) AS team
    FROM metrics.measures AS m
    WHERE m.day >= CAST(from_day AS DATE) AND m.day <= CAST(to_day AS DATE)
    UNION ALL
    SELECT CAST(NULL AS VARCHAR) AS measure, CAST(NULL AS DOUBLE) AS seconds, p.period, n.service, n.env, n.team_alone, n.team
    FROM members AS n
    CROSS JOIN (
        {metrics.periods}
    ) AS p
)
SELECT
    s.period, s.service, s.env, MAX(s.team) AS team,
    {metrics.figures}
FROM (
    SELECT
        m.period, m.service, m.env, m.team_alone, m.measure, MAX(m.team) AS team,
        {metrics.statistics}
    FROM counted AS m
    GROUP BY m.period, m.service, m.env, m.team_alone, m.measure
) AS s
GROUP BY s.period, s.service, s.env, s.team_alone
ORDER BY s.period, s.service, s.env, MAX(s.team)
