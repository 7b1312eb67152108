-- The newest day of a selected source, the newest event, and when the sources were read last.
SELECT
    MAX(m.day) AS newest_day,
    MAX(m.occurred_at) AS newest_event_at,
    (SELECT MAX(s.read_at) FROM landing.source_states AS s) AS read_at
FROM metrics.measures AS m
WHERE m.measure IN ('deployment', 'failure', 'restore')
