-- Which deployments in chains are redeploys or rollbacks.
SELECT c.deployment_id, n.service, c.kind, c.day
FROM (
    SELECT x.deployment_id, x.chain, x.day, 'redeploy' AS kind FROM chains AS x WHERE x.content = x.previous_content
    UNION ALL
    SELECT x.deployment_id, x.chain, x.day, 'rollback' AS kind
    FROM rollbacks AS r
    INNER JOIN chains AS x ON r.deployment_id = x.deployment_id
) AS c
INNER JOIN chain_names AS n ON c.chain = n.chain
