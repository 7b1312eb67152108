-- metrics.summary(grain, from_day, to_day): the columns of metrics.daily by period, service and env, and how sure they are,
-- computed from the events of the days from from_day to to_day, both included. Every service and env that has an event up to
-- to_day has a row in every period: counts are 0 and rates NULL where there was nothing.
CREATE OR REPLACE MACRO metrics.summary(grain, from_day, to_day) AS TABLE
WITH beginnings AS (
    SELECT CAST(NULL AS VARCHAR) AS source, b.* FROM ({metrics.beginnings}) AS b
),
periods AS (
    {metrics.periods}
),
members AS (
    SELECT
        m.service, m.env, CASE WHEN m.service IS NULL THEN m.team END AS team_alone,
        {metrics.newest_team} AS team
    FROM metrics.measures AS m
    WHERE m.measure IN ('deployment', 'failure') AND m.day <= CAST(to_day AS DATE)
    GROUP BY m.service, m.env, CASE WHEN m.service IS NULL THEN m.team END
    UNION ALL
    SELECT CAST(NULL AS VARCHAR) AS service, CAST(NULL AS VARCHAR) AS env, CAST(NULL AS VARCHAR) AS team_alone, CAST(NULL AS VARCHAR) AS team
    WHERE {metrics.is_not_a_grain}
),
counted AS (
    SELECT
        m.measure, m.seconds, m.period, m.service, m.env, CASE WHEN m.service IS NULL THEN m.team END AS team_alone,
        CAST(NULL AS VARCHAR) AS team
    FROM ({metrics.counted}) AS m
    UNION ALL
    SELECT CAST(NULL AS VARCHAR) AS measure, CAST(NULL AS DOUBLE) AS seconds, p.period, n.service, n.env, n.team_alone, n.team
    FROM members AS n
    CROSS JOIN periods AS p
),
without_env AS (
    SELECT m.period, m.service, m.team_alone, {metrics.without_env}
    FROM counted AS m
    WHERE m.env IS NULL AND m.measure IN ('failure', 'restore')
    GROUP BY m.period, m.service, m.team_alone
),
opened AS (
    SELECT p.period, f.service, f.env, f.team_alone, CAST(NULL AS VARCHAR) AS team, {metrics.open_statistics}
    FROM (
        SELECT
            f.service, f.env, CASE WHEN f.service IS NULL THEN f.team END AS team_alone, CAST(NULL AS VARCHAR) AS source,
            f.day, f.restored_day, COUNT(*) AS number, MIN(f.started_at) AS first_started_at
        FROM core.failures AS f
        WHERE {metrics.open_in_days}
        GROUP BY f.service, f.env, CASE WHEN f.service IS NULL THEN f.team END, f.day, f.restored_day
    ) AS f
    INNER JOIN periods AS p ON {metrics.is_open}
    GROUP BY p.period, f.service, f.env, f.team_alone
)
SELECT
    p.period, p.is_whole, p.is_provisional, s.service, s.env, s.team,
    {metrics.figures},
    {metrics.intervals}
FROM (
    SELECT
        x.period, x.service, x.env, x.team_alone, MAX(x.team) AS team,
        {metrics.placed_statistics},
        {metrics.placed_interval_statistics}
    FROM (
        SELECT
            m.period, m.service, m.env, m.team_alone, m.measure, MAX(m.team) AS team,
            {metrics.statistics},
            {metrics.interval_statistics}
        FROM counted AS m
        GROUP BY m.period, m.service, m.env, m.team_alone, m.measure
        UNION ALL BY NAME
        FROM opened
    ) AS x
    GROUP BY x.period, x.service, x.env, x.team_alone
) AS s
INNER JOIN periods AS p ON s.period = p.period
LEFT JOIN without_env AS w
    ON s.period = w.period AND s.service IS NOT DISTINCT FROM w.service AND s.team_alone IS NOT DISTINCT FROM w.team_alone AND s.env IS NOT NULL
ORDER BY p.period, s.service, s.env, s.team
