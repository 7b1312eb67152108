-- The newest day of a selected source, the newest event, and when the sources were read last.
SELECT
    MAX(e.day) AS newest_day,
    MAX(e.occurred_at) AS newest_event_at,
    (SELECT MAX(s.read_at) FROM landing.source_states AS s) AS read_at
FROM (
    SELECT d.day, d.finished_at AS occurred_at FROM core.deployments AS d WHERE d.is_selected AND d.duplicate_of IS NULL
    UNION ALL
    SELECT f.day, f.started_at AS occurred_at FROM core.failures AS f WHERE f.is_selected
    UNION ALL
    SELECT f.restored_day AS day, f.finished_at AS occurred_at FROM core.failures AS f
    WHERE f.is_selected AND f.finished_at IS NOT NULL
) AS e
