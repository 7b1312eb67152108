-- The commits that a deployment brought, the newest first; of a squash merge the original ones, with what landed.
SELECT
    c.commit_sha, c.subject, c.landed_as_sha, r.landed_subject, c.authored_at, c.committed_at, c.lead_time_seconds,
    c.is_redelivery, c.repository_id
FROM core.deployment_commits AS c
INNER JOIN core.deployments AS d ON c.deployment_id = d.deployment_id
LEFT JOIN landing.range_commits AS r
    ON d.range_id = r.range_id AND c.commit_sha = r.commit_sha AND c.landed_as_sha = r.landed_as_sha
WHERE c.deployment_id = $event_id
ORDER BY c.committed_at DESC, c.commit_sha
