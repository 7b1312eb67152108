-- The newest $most deployments of each environment since $since_day.
SELECT
    n.deployment_id, n.source, n.service, n.env, n.team, n.version, n.commit_sha, n.kind, n.finished_at,
    n.lead_time_commits, n.lead_time_mean_seconds, n.lead_time_reason
FROM (
    SELECT m.*, ROW_NUMBER() OVER (PARTITION BY m.env ORDER BY m.finished_at DESC, m.deployment_id) AS place
    FROM (
        {report.selected_deployments}
    ) AS m
    WHERE m.duplicate_of IS NULL AND m.day >= $since_day AND {passes}
) AS n
WHERE n.place <= $most
ORDER BY n.finished_at DESC, n.deployment_id
