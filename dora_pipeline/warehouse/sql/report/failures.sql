-- The newest $most failures of each environment since $since_day, a row for each impacted service.
SELECT
    n.failure_id, n.source, n.service, n.env, n.team, n.name, n.url, n.started_at, n.finished_at, n.time_to_restore_seconds
FROM (
    SELECT f.*, ROW_NUMBER() OVER (PARTITION BY f.env ORDER BY f.started_at DESC, f.failure_id, f.service) AS place
    FROM core.failures AS f
    WHERE f.is_selected AND f.day >= $since_day
) AS n
WHERE n.place <= $most
ORDER BY n.started_at DESC, n.failure_id, n.service
