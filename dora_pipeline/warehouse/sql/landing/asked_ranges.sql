-- What is asked of the repositories for the deployments of the services in changed_ranges, from their from_day on: those
-- that count and have a commit and a repository. Commits are asked for where the previous deployment is not too old.
SELECT
    d.deployment_id, d.history, d.service, d.env, d.repository_id,
    d.previous_commit_sha AS base_sha, d.commit_sha AS head_sha, d.source_patterns AS patterns,
    CASE WHEN d.lead_time_reason IS NULL THEN TRUE ELSE FALSE END AS is_ranged,
    d.finished_at, d.started_at, d.day
FROM (
{core.derived_deployments}
) AS d
INNER JOIN changed_ranges AS c ON d.service = c.service AND d.day >= c.from_day
WHERE d.commit_sha IS NOT NULL AND d.duplicate_of IS NULL AND d.repository_id IS NOT NULL
