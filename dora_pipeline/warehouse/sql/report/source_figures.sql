-- Newest event, rows, rejected events and last reading of each source that was ever read.
SELECT
    s.source,
    e.newest_event_at,
    COALESCE(e.events, 0) AS events,
    COALESCE(x.rejected, 0) AS rejected,
    s.read_at,
    s.error
FROM landing.source_states AS s
LEFT JOIN (
    SELECT v.source, MAX(v.occurred_at) AS newest_event_at, COUNT(*) AS events FROM core.events AS v GROUP BY v.source
) AS e ON s.source = e.source
LEFT JOIN (
    SELECT r.source, CAST(SUM(r.records) AS BIGINT) AS rejected FROM core.rejected_events AS r GROUP BY r.source
) AS x ON s.source = x.source
ORDER BY s.source
