-- What the messages say of the commits that deployments in chains brought first: those of original commits, and those of
-- the squash commits that they landed as.
SELECT b.deployment_id, b.commit_sha AS sha, b.subject, b.reverts
FROM brought_commits AS b
INNER JOIN chains AS c ON b.deployment_id = c.deployment_id
WHERE NOT b.is_redelivery
UNION ALL
SELECT b.deployment_id, b.landed_as_sha AS sha, b.landed_subject AS subject, b.landed_reverts AS reverts
FROM brought_commits AS b
INNER JOIN chains AS c ON b.deployment_id = c.deployment_id
WHERE NOT b.is_redelivery AND b.landed_as_sha IS NOT NULL
