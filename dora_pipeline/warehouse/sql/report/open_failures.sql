-- Failures that are open, the oldest first.
SELECT f.failure_id, f.source, f.service, f.env, f.team, f.name, f.url, f.started_at, f.finished_at, f.time_to_restore_seconds
FROM core.failures AS f
WHERE f.is_selected AND f.finished_at IS NULL
ORDER BY f.started_at, f.failure_id, f.service
