-- The rows of metrics.measures of what passes a filter, of the days that are asked for, without the ids of events of which
-- none is counted twice.
SELECT
    CAST(m.measure AS metrics.measure_name) AS measure, m.seconds, m.day, m.service, m.env, m.team,
    CASE WHEN m.measure IN ('failure', 'restore') THEN m.event_id END AS event_id,
    CASE WHEN m.measure IN ('deployment', 'failure') THEN m.occurred_at END AS occurred_at
FROM (
    {metrics.measures}
) AS m
WHERE ({days})
