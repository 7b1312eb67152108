-- Rejected events by source and reason: those of the days from $from_day to $to_day, all, and the newest.
SELECT
    r.event_type, r.source, r.reason,
    SUM(CASE WHEN r.day >= $from_day AND r.day <= $to_day THEN 1 ELSE 0 END) AS rejected_in_period,
    COUNT(*) AS rejected,
    MAX(COALESCE(r.occurred_at, r.detected_at)) AS newest_at
FROM core.rejected_events AS r
GROUP BY r.event_type, r.source, r.reason
ORDER BY rejected_in_period DESC, rejected DESC, r.event_type, r.source, r.reason
