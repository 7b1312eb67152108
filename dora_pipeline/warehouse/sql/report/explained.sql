-- The events of a figure, of the days from $from_day to $to_day: those that it is made of, and those that are left out,
-- with the reason; the newest first. A failure has a row for each impacted service, and counts once.
WITH explained AS NOT MATERIALIZED (
    {metrics.explained}
)
SELECT
    m.reason IS NULL AS is_counted, m.reason, m.day, m.occurred_at, m.event_type, m.event_id, m.service, m.env, m.team,
    m.source, m.seconds, m.details
FROM (
    SELECT
        m.day, m.occurred_at, m.event_type, m.event_id, m.service, m.env, m.team, m.source, m.seconds, m.details,
        COALESCE(m.left_out || {rejected_without_env}, {without_env}, m.lacking) AS reason
    FROM explained AS m
    WHERE m.figure = $figure AND m.day >= $from_day AND m.day <= $to_day AND {passes}
) AS m
WHERE {has_reason}
ORDER BY m.occurred_at DESC, m.event_id, m.service, m.details
