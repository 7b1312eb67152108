-- A deployment, as core has it; else as it came, with why core has it not.
SELECT
    d.deployment_id, d.source, d.service, d.env, d.team, d.version, d.repository_id, d.commit_sha, d.started_at, d.finished_at,
    d.day, d.kind, d.custom_tags, d.change_failure, d.remediation_id AS marked_remediation_id,
    d.remediation_type AS marked_remediation_type, d.duplicate_of, d.previous_deployment_id, d.previous_commit_sha,
    d.lead_time_commits, d.lead_time_mean_seconds, d.lead_time_reason,
    CASE WHEN NOT d.is_selected THEN 'not_selected' WHEN d.duplicate_of IS NOT NULL THEN 'duplicate' END AS left_out
FROM core.deployments AS d
WHERE d.deployment_id = $event_id
UNION ALL
SELECT
    l.deployment_id, l.source, l.service, l.env, l.team, l.version, l.repository_id, l.commit_sha, l.started_at, l.finished_at,
    l.day, CAST(NULL AS VARCHAR) AS kind, l.custom_tags, l.change_failure, l.remediation_id, l.remediation_type,
    CAST(NULL AS VARCHAR), CAST(NULL AS VARCHAR), CAST(NULL AS VARCHAR), CAST(NULL AS BIGINT), CAST(NULL AS DOUBLE),
    CAST(NULL AS VARCHAR),
    CASE WHEN s.first_selected_at IS NULL THEN 'never_selected'
         WHEN l.finished_at < s.first_selected_at THEN 'before_first_selection' ELSE 'not_in_core' END
FROM landing.deployments AS l
LEFT JOIN (
    {core.first_selections}
) AS s ON l.source = s.source
WHERE l.deployment_id = $event_id AND NOT EXISTS (SELECT 1 FROM core.deployments AS d WHERE d.deployment_id = l.deployment_id)
