-- Rejected events by source and reason: those of the days from $from_day to $to_day, all, and the newest.
SELECT
    r.event_type, r.source, r.reason,
    CAST(SUM(CASE WHEN r.day >= $from_day AND r.day <= $to_day THEN r.records ELSE 0 END) AS BIGINT) AS rejected_in_period,
    CAST(SUM(r.records) AS BIGINT) AS rejected,
    MAX(COALESCE(r.occurred_at, r.detected_at)) AS newest_at
FROM core.rejected_events AS r
GROUP BY r.event_type, r.source, r.reason
ORDER BY rejected_in_period DESC, rejected DESC, r.event_type, r.source, r.reason
