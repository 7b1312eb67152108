-- core.deployments for the days in run_days: derived_deployments with the lead times over their commits.
-- The mean is a sum of whole microseconds, so that it does not depend on the order of the commits.
SELECT
    d.deployment_id, d.source, d.service, d.env, d.version, d.team, d.repository_id, d.commit_sha,
    d.started_at, d.finished_at, COALESCE(k.kind, 'standard') AS kind, d.custom_tags, d.change_failure, d.remediation_id, d.remediation_type,
    d.duplicate_of, d.is_selected,
    d.previous_deployment_id, d.previous_commit_sha, r.range_id,
    CASE WHEN r.range_id IS NOT NULL THEN COALESCE(c.commits, 0) END AS lead_time_commits,
    c.mean_seconds AS lead_time_mean_seconds,
    CASE WHEN d.lead_time_reason IS NOT NULL THEN d.lead_time_reason
         WHEN r.reason IS NOT NULL THEN r.reason
         WHEN c.commits IS NULL THEN 'no_commits'
         WHEN c.commits = 0 THEN 'no_author_time' END AS lead_time_reason,
    d.day
FROM derived_deployments AS d
LEFT JOIN landing.deployment_kinds AS k ON d.deployment_id = k.deployment_id
LEFT JOIN deployment_ranges AS r ON d.deployment_id = r.deployment_id
LEFT JOIN (
    SELECT
        x.deployment_id,
        COUNT(k.authored_at) AS commits,
        CAST(SUM(DATE_DIFF('microsecond', k.authored_at, y.finished_at)) AS DOUBLE) / NULLIF(COUNT(k.authored_at), 0) / 1000000 AS mean_seconds
    FROM deployment_ranges AS x
    INNER JOIN derived_deployments AS y ON x.deployment_id = y.deployment_id
    INNER JOIN landing.range_commits AS k ON x.range_id = k.range_id
    GROUP BY x.deployment_id
) AS c ON d.deployment_id = c.deployment_id
