-- Services whose deployments bring commits again that earlier ones had, as after rollbacks, and how many.
SELECT
    c.service, c.env, COUNT(*) AS commits,
    COUNT(CASE WHEN c.is_redelivery THEN 1 END) AS redelivered,
    CAST(COUNT(CASE WHEN c.is_redelivery THEN 1 END) AS DOUBLE) / COUNT(*) AS share
FROM core.deployment_commits AS c
WHERE c.is_selected
GROUP BY c.service, c.env
HAVING COUNT(CASE WHEN c.is_redelivery THEN 1 END) > 0
ORDER BY share DESC, c.service, c.env
