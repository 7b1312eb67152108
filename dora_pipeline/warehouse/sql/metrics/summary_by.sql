-- metrics.summary_by(dimension, grain, from_day, to_day): the columns of metrics.summary over service, team, repository, source,
-- severity, all (env is another name of it) or tag:<key>, always per env, computed from the events. A failure that impacts
-- several services counts once for each member; an event with several values of a tag counts for each.
CREATE OR REPLACE MACRO metrics.summary_by(dimension, grain, from_day, to_day) AS TABLE
WITH known AS (
    {metrics.beginnings}
),
-- What is made from deployments has no severity. A source is known since its own first selection.
beginnings AS (
    SELECT
        CAST(NULL AS VARCHAR) AS source,
        CASE WHEN dimension <> 'severity' THEN k.deployments_since END AS deployments_since,
        k.failures_since,
        CASE WHEN dimension <> 'severity' THEN k.links_since END AS links_since,
        k.day_offsets, k.link_window_us
    FROM known AS k
    WHERE dimension <> 'source'
    UNION ALL
    SELECT
        s.source,
        MIN(CASE WHEN s.event_type = 'deployment' THEN s.first_selected_at END) AS deployments_since,
        MIN(CASE WHEN s.event_type = 'failure' THEN s.first_selected_at END) AS failures_since,
        MIN(CASE WHEN s.event_type = 'deployment' AND k.failures_since IS NOT NULL THEN GREATEST(s.first_selected_at, k.failures_since) END)
            AS links_since,
        ANY_VALUE(k.day_offsets) AS day_offsets, MAX(k.link_window_us) AS link_window_us
    FROM core.source_selections AS s
    CROSS JOIN known AS k
    WHERE dimension = 'source' AND s.is_selected
    GROUP BY s.source
),
periods AS (
    {metrics.periods}
),
-- A failure that is open at the end of a period stands here once, whatever its age.
events AS NOT MATERIALIZED (
    {metrics.counted}
    UNION ALL
    SELECT
        'open_failure' AS measure, CAST(NULL AS DOUBLE) AS seconds, CAST(NULL AS DATE) AS period, f.service, f.env, f.team,
        f.repository_id, f.source, f.severity, f.custom_tags AS tags, f.failure_id AS event_id
    FROM core.failures AS f
    WHERE {metrics.open_in_days}
    UNION ALL
    SELECT
        CAST(NULL AS VARCHAR) AS measure, CAST(NULL AS DOUBLE) AS seconds, CAST(NULL AS DATE) AS period, m.service, m.env, m.team,
        m.repository_id, m.source, m.severity, m.tags, m.event_id
    FROM metrics.measures AS m
    WHERE m.day < CAST(from_day AS DATE) AND m.day <= CAST(to_day AS DATE)
        AND (m.measure = 'failure' OR m.measure = 'deployment' AND dimension <> 'severity')
),
-- The values that events have of a tag. Few have several, and to unnest all takes half of the time.
tagged AS MATERIALIZED (
    SELECT
        m.measure, m.seconds, m.period, m.env, m.event_id,
        [SUBSTRING(t, LENGTH(dimension) - 2) FOR t IN m.tags IF STARTS_WITH(t, SUBSTRING(dimension, 5) || ':')] AS members
    FROM events AS m
    WHERE dimension LIKE 'tag:%'
),
placed AS NOT MATERIALIZED (
    SELECT
        m.measure, m.seconds, m.period, m.env, m.event_id,
        CASE dimension WHEN 'service' THEN m.service WHEN 'team' THEN m.team WHEN 'repository' THEN m.repository_id
                       WHEN 'source' THEN m.source WHEN 'severity' THEN m.severity ELSE 'all' END AS member
    FROM events AS m
    WHERE dimension NOT LIKE 'tag:%'
        AND (dimension <> 'severity' OR m.measure IS NULL OR m.measure IN ('failure', 'restore', 'open_failure'))
    UNION ALL
    SELECT m.measure, m.seconds, m.period, m.env, m.event_id, m.members[1] AS member
    FROM tagged AS m
    WHERE LEN(m.members) <= 1
    UNION ALL
    SELECT m.measure, m.seconds, m.period, m.env, m.event_id, UNNEST(LIST_DISTINCT(m.members)) AS member
    FROM tagged AS m
    WHERE LEN(m.members) > 1
),
members AS (
    SELECT DISTINCT m.env, m.member FROM placed AS m WHERE m.measure IS NULL OR m.measure IN ('deployment', 'failure')
    UNION ALL
    SELECT CAST(NULL AS VARCHAR) AS env, CAST(NULL AS VARCHAR) AS member
    WHERE {metrics.is_not_a_grain}
        OR CASE WHEN dimension IN ('service', 'team', 'repository', 'source', 'severity', 'all', 'env') OR dimension LIKE 'tag:_%' THEN FALSE
                ELSE CAST(ERROR('dimension is one of service, team, repository, source, severity, all, env, tag:<key>') AS BOOLEAN) END
),
failures AS MATERIALIZED (
    SELECT DISTINCT m.measure, m.seconds, m.period, m.event_id, m.env, m.member
    FROM placed AS m
    WHERE m.measure IN ('failure', 'restore')
),
opened AS (
    SELECT p.period, f.env, f.member, {metrics.open_statistics}
    FROM (
        SELECT o.env, o.member, x.source, x.day, x.restored_day, COUNT(*) AS number, MIN(x.started_at) AS first_started_at
        FROM (SELECT DISTINCT m.env, m.member, m.event_id FROM placed AS m WHERE m.measure = 'open_failure') AS o
        INNER JOIN (
            SELECT DISTINCT y.failure_id, y.source, y.started_at, y.day, y.restored_day FROM core.failures AS y WHERE y.is_selected
        ) AS x ON o.event_id = x.failure_id
        GROUP BY o.env, o.member, x.source, x.day, x.restored_day
    ) AS f
    INNER JOIN periods AS p ON {metrics.is_open}
    GROUP BY p.period, f.env, f.member
),
without_env AS (
    SELECT m.period, m.member, {metrics.without_env}
    FROM failures AS m
    WHERE m.env IS NULL
    GROUP BY m.period, m.member
)
SELECT
    p.period, p.is_whole, p.is_provisional, s.env, s.member,
    {metrics.figures},
    {metrics.intervals}
FROM (
    SELECT
        x.period, x.env, x.member,
        {metrics.placed_statistics},
        {metrics.placed_interval_statistics}
    FROM (
        SELECT
            m.period, m.env, m.member, m.measure,
            {metrics.statistics},
            {metrics.interval_statistics}
        FROM (
            SELECT d.measure, d.seconds, d.period, d.env, d.member
            FROM placed AS d
            WHERE d.measure NOT IN ('failure', 'restore', 'open_failure')
            UNION ALL
            SELECT f.measure, f.seconds, f.period, f.env, f.member
            FROM failures AS f
            UNION ALL
            SELECT CAST(NULL AS VARCHAR) AS measure, CAST(NULL AS DOUBLE) AS seconds, p.period, n.env, n.member
            FROM members AS n
            CROSS JOIN periods AS p
            WHERE p.source IS NULL OR p.source = n.member
        ) AS m
        GROUP BY m.period, m.env, m.member, m.measure
        UNION ALL BY NAME
        FROM opened
    ) AS x
    GROUP BY x.period, x.env, x.member
) AS s
INNER JOIN periods AS p ON s.period = p.period AND (p.source IS NULL OR p.source = s.member)
LEFT JOIN without_env AS w
    ON s.period = w.period AND s.member IS NOT DISTINCT FROM w.member AND s.env IS NOT NULL
ORDER BY p.period, s.env, s.member
