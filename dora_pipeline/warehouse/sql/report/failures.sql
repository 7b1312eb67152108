-- The newest $most failures of each environment since $since_day, a row for each impacted service.
SELECT
    n.failure_id, n.source, n.service, n.env, n.team, n.name, n.url, n.started_at, n.finished_at, n.time_to_restore_seconds
FROM (
    SELECT m.*, ROW_NUMBER() OVER (PARTITION BY m.env ORDER BY m.started_at DESC, m.failure_id, m.service) AS place
    FROM (
        {report.selected_failures}
    ) AS m
    WHERE m.day >= $since_day AND {passes}
) AS n
WHERE n.place <= $most
ORDER BY n.started_at DESC, n.failure_id, n.service
