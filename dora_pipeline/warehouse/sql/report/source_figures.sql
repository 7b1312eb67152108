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
    SELECT u.source, MAX(u.occurred_at) AS newest_event_at, COUNT(*) AS events
    FROM (
        SELECT d.source, d.finished_at AS occurred_at FROM core.deployments AS d
        UNION ALL
        SELECT f.source, f.started_at AS occurred_at FROM core.failures AS f
    ) AS u
    GROUP BY u.source
) AS e ON s.source = e.source
LEFT JOIN (
    SELECT r.source, COUNT(*) AS rejected FROM core.rejected_events AS r GROUP BY r.source
) AS x ON s.source = x.source
ORDER BY s.source
