-- Rejected events by source and reason, how many, and the newest.
SELECT r.event_type, r.source, r.reason, CAST(SUM(r.records) AS BIGINT) AS events, MAX(COALESCE(r.occurred_at, r.detected_at)) AS newest_event_at
FROM core.rejected_events AS r
GROUP BY r.event_type, r.source, r.reason
ORDER BY events DESC, r.event_type, r.source, r.reason
