-- Failures that have begun and are open, the oldest first.
SELECT m.failure_id, m.source, m.service, m.env, m.team, m.name, m.url, m.started_at, m.finished_at, m.time_to_restore_seconds
FROM (
    {report.selected_failures}
) AS m
WHERE m.finished_at IS NULL AND m.started_at <= NOW() AND {passes}
ORDER BY m.started_at, m.failure_id, m.service
