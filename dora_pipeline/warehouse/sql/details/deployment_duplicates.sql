-- The other rows of a deployment that several sources have; the one that counts comes first.
SELECT d.deployment_id, d.source, d.finished_at, d.version, d.commit_sha, d.duplicate_of
FROM core.deployments AS d
INNER JOIN core.deployments AS a ON a.deployment_id = $event_id
WHERE d.deployment_id <> $event_id AND (d.duplicate_of = COALESCE(a.duplicate_of, a.deployment_id) OR d.deployment_id = a.duplicate_of)
ORDER BY d.duplicate_of IS NOT NULL, d.finished_at, d.deployment_id
