-- Services by how what was changed and what failed disagree: deployments with linked failures that are no failed change, and
-- failed changes that no failure is linked to, beside those that are both.
SELECT
    o.service, o.env,
    COUNT(CASE WHEN o.agreement = 'failure_only' THEN 1 END) AS failure_only,
    COUNT(CASE WHEN o.agreement = 'change_only' THEN 1 END) AS change_only,
    COUNT(CASE WHEN o.agreement = 'both' THEN 1 END) AS both_views
FROM metrics.deployment_outcomes AS o
WHERE o.agreement <> 'none'
GROUP BY o.service, o.env
HAVING COUNT(CASE WHEN o.agreement <> 'both' THEN 1 END) > 0
ORDER BY COUNT(CASE WHEN o.agreement <> 'both' THEN 1 END) DESC, o.service, o.env
