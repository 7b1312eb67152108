-- The rows of metrics.measures that pass a filter, of the days that are asked for. What only the filter needs is left behind,
-- and so are the ids of events of which none is counted twice.
SELECT
    m.measure, m.seconds, m.day, m.service, m.env, m.team,
    CASE WHEN m.measure IN ('failure', 'restore') THEN m.event_id END AS event_id,
    CASE WHEN m.measure IN ('deployment', 'failure') THEN m.occurred_at END AS occurred_at
FROM {source}.metrics.measures AS m
WHERE ({days}) AND {passes}
