-- Which deployments of the services in waiting_services are redeploys or rollbacks; a duplicate has the kind of the one
-- that counts.
WITH kinds AS (
    SELECT c.deployment_id, c.service, 'redeploy' AS kind, c.day FROM chains AS c WHERE c.content = c.previous_content
    UNION ALL
    SELECT c.deployment_id, c.service, 'rollback' AS kind, c.day
    FROM rollbacks AS r
    INNER JOIN chains AS c ON r.deployment_id = c.deployment_id
)
SELECT k.deployment_id, k.service, k.kind, k.day FROM kinds AS k
UNION ALL
SELECT j.deployment_id, j.service, k.kind, j.day
FROM landing.judged_deployments AS j
INNER JOIN kinds AS k ON j.duplicate_of = k.deployment_id
WHERE j.history <> 'rejected'
