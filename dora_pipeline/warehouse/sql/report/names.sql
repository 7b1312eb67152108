-- The values by which events can be asked for: what deployments and failures name, and how many name it.
WITH events AS NOT MATERIALIZED (
    SELECT m.team, m.service, m.repository_id, m.source, m.severity, m.tags, m.measure
    FROM metrics.measures AS m
    WHERE m.measure IN ('deployment', 'failure')
),
named AS (
    -- Of all columns at once, for which the events are read once.
    SELECT
        CASE WHEN GROUPING(e.team) = 0 THEN 'team' WHEN GROUPING(e.service) = 0 THEN 'service'
             WHEN GROUPING(e.repository_id) = 0 THEN 'repository' ELSE 'source' END AS parameter,
        COALESCE(e.team, e.service, e.repository_id, e.source) AS name, COUNT(*) AS events
    FROM events AS e
    GROUP BY GROUPING SETS ((e.team), (e.service), (e.repository_id), (e.source))
    UNION ALL
    SELECT 'severity' AS parameter, e.severity AS name, COUNT(*) AS events
    FROM events AS e
    WHERE e.measure = 'failure'
    GROUP BY e.severity
    UNION ALL
    (
        SELECT 'tag' AS parameter, t.tag AS name, COUNT(*) AS events
        FROM (SELECT UNNEST(e.tags) AS tag FROM events AS e) AS t
        WHERE t.tag LIKE '%:%'
        GROUP BY t.tag
        ORDER BY events DESC, t.tag
        LIMIT $most_tags
    )
)
SELECT n.parameter, n.name
FROM named AS n
ORDER BY n.parameter, n.events DESC, n.name
