-- The judged deployments, with what the catalog knows of their services. The repository that an event names goes before
-- the catalog's only where it is configured.
SELECT
    j.deployment_id, j.source, j.service, j.env, j.version,
    COALESCE(j.team, s.team) AS team,
    CASE WHEN c.repository_id IS NOT NULL OR s.repository_id IS NULL THEN j.repository_id ELSE s.repository_id END AS repository_id,
    j.commit_sha, j.started_at, j.finished_at, j.history, j.custom_tags, j.change_failure, j.remediation_id,
    j.remediation_type, j.duplicate_of, j.is_selected,
    j.previous_deployment_id, j.previous_commit_sha,
    CASE WHEN j.lead_time_reason IS NOT NULL THEN j.lead_time_reason
         WHEN COALESCE(j.repository_id, s.repository_id) IS NULL THEN 'no_repository' END AS lead_time_reason,
    COALESCE(s.source_patterns, CAST([] AS VARCHAR[])) AS source_patterns,
    j.day
FROM landing.judged_deployments AS j
LEFT JOIN core.services AS s ON j.service = s.service
LEFT JOIN landing.repositories AS c ON j.repository_id = c.repository_id
WHERE j.history <> 'rejected'
