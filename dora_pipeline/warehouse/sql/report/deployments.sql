-- The newest $most deployments of each environment since $since_day.
SELECT
    n.deployment_id, n.source, n.service, n.env, n.team, n.version, n.commit_sha, n.kind, n.finished_at,
    n.lead_time_commits, n.lead_time_mean_seconds, n.lead_time_reason
FROM (
    SELECT d.*, ROW_NUMBER() OVER (PARTITION BY d.env ORDER BY d.finished_at DESC, d.deployment_id) AS place
    FROM core.deployments AS d
    WHERE d.is_selected AND d.duplicate_of IS NULL AND d.day >= $since_day
) AS n
WHERE n.place <= $most
ORDER BY n.finished_at DESC, n.deployment_id
