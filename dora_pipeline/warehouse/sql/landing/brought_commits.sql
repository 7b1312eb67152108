-- The commits that deployments brought: those of their ranges that touch the patterns, of a squash commit the original
-- commits, but for what landing.repeated_commits says.
SELECT
    r.deployment_id, r.service, r.repository_id, r.day, c.commit_sha,
    CASE WHEN c.landed_as_sha <> c.commit_sha THEN c.landed_as_sha END AS landed_as_sha,
    c.authored_at, c.committed_at, c.subject, c.reverts, c.landed_subject, c.landed_reverts,
    COALESCE(x.is_redelivery, FALSE) AS is_redelivery
FROM landing.deployment_ranges AS r
INNER JOIN landing.range_commits AS c ON r.range_id = c.range_id
LEFT JOIN landing.repeated_commits AS x
    ON r.deployment_id = x.deployment_id AND c.commit_sha = x.commit_sha
    AND COALESCE(c.landed_as_sha, '') = COALESCE(x.landed_as_sha, '')
WHERE COALESCE(x.is_brought, c.is_touching AND COALESCE(c.landed_as_sha <> c.commit_sha, TRUE))
