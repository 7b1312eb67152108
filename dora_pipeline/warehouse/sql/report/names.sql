-- The values by which events can be asked for: what deployments and failures name, and how many name it.
WITH events AS (
    SELECT m.team, m.service, m.repository_id, m.source, m.severity, m.tags, m.measure
    FROM metrics.measures AS m
    WHERE m.measure IN ('deployment', 'failure')
),
named AS (
    SELECT 'team' AS parameter, e.team AS name, COUNT(*) AS events FROM events AS e GROUP BY e.team
    UNION ALL
    SELECT 'service' AS parameter, e.service AS name, COUNT(*) AS events FROM events AS e GROUP BY e.service
    UNION ALL
    SELECT 'repository' AS parameter, e.repository_id AS name, COUNT(*) AS events FROM events AS e GROUP BY e.repository_id
    UNION ALL
    SELECT 'source' AS parameter, e.source AS name, COUNT(*) AS events FROM events AS e GROUP BY e.source
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
