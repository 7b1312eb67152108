-- metrics.summary_by(dimension, grain, from_day, to_day): the columns of metrics.summary over env, team or all, computed
-- from the events. The column of the dimension holds its value, the other names are NULL. A failure that impacts several
-- services is one failure here.
CREATE OR REPLACE MACRO metrics.summary_by(dimension, grain, from_day, to_day) AS TABLE
WITH known AS NOT MATERIALIZED (
    SELECT
        m.measure, m.seconds, m.day, m.event_id,
        CASE dimension WHEN 'env' THEN m.env WHEN 'team' THEN CAST(NULL AS VARCHAR) WHEN 'all' THEN CAST(NULL AS VARCHAR)
             ELSE ERROR('dimension is one of env, team, all') END AS env,
        CASE WHEN dimension = 'team' THEN m.team END AS team
    FROM metrics.measures AS m
    WHERE m.day <= CAST(to_day AS DATE)
),
members AS (
    SELECT k.env, k.team FROM known AS k WHERE k.measure IN ('deployment', 'failure')
    UNION
    SELECT CAST(NULL AS VARCHAR) AS env, CAST(NULL AS VARCHAR) AS team WHERE dimension = 'all'
),
counted AS (
    SELECT k.measure, k.seconds, metrics.period(grain, k.day) AS period, k.env, k.team
    FROM known AS k
    WHERE k.measure IN ('deployment', 'commit') AND k.day >= CAST(from_day AS DATE)
    UNION ALL
    SELECT f.measure, f.seconds, metrics.period(grain, f.day) AS period, f.env, f.team
    FROM (
        SELECT DISTINCT k.measure, k.seconds, k.day, k.event_id, k.env, k.team
        FROM known AS k
        WHERE k.measure IN ('failure', 'restore') AND k.day >= CAST(from_day AS DATE)
    ) AS f
    UNION ALL
    SELECT CAST(NULL AS VARCHAR) AS measure, CAST(NULL AS DOUBLE) AS seconds, p.period, n.env, n.team
    FROM members AS n
    CROSS JOIN (
        {metrics.periods}
    ) AS p
)
SELECT
    s.period, CAST(NULL AS VARCHAR) AS service, s.env, s.team,
    {metrics.figures}
FROM (
    SELECT
        m.period, m.env, m.team, m.measure,
        {metrics.statistics}
    FROM counted AS m
    GROUP BY m.period, m.env, m.team, m.measure
) AS s
GROUP BY s.period, s.env, s.team
ORDER BY s.period, s.env, s.team
