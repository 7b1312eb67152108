-- Which deployments in chains are redeploys or rollbacks.
SELECT c.deployment_id, c.service, 'redeploy' AS kind, c.day FROM chains AS c WHERE c.content = c.previous_content
UNION ALL
SELECT c.deployment_id, c.service, 'rollback' AS kind, c.day
FROM rollbacks AS r
INNER JOIN chains AS c ON r.deployment_id = c.deployment_id
