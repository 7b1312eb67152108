-- The rows of metrics.measures that pass a filter, of the days that are asked for.
SELECT
    m.measure, m.seconds, m.day, m.service, m.env, m.team, m.repository_id, m.source, m.severity,
    CAST(NULL AS VARCHAR[]) AS tags,
    m.event_id, m.occurred_at
FROM {source}.metrics.measures AS m
WHERE ({days}) AND {passes}
