-- Rejected events by source and reason: those of the days from $from_day to $to_day, all, and the newest.
SELECT
    m.event_type, m.source, m.reason,
    CAST(SUM(CASE WHEN m.day >= $from_day AND m.day <= $to_day THEN m.records ELSE 0 END) AS BIGINT) AS rejected_in_period,
    CAST(SUM(m.records) AS BIGINT) AS rejected,
    MAX(COALESCE(m.occurred_at, m.detected_at)) AS newest_at
FROM (
    SELECT
        r.*, CAST(NULL AS VARCHAR) AS repository_id, CAST(NULL AS VARCHAR) AS severity, CAST(NULL AS VARCHAR[]) AS tags
    FROM core.rejected_events AS r
) AS m
WHERE {passes}
GROUP BY m.event_type, m.source, m.reason
ORDER BY rejected_in_period DESC, rejected DESC, m.event_type, m.source, m.reason
