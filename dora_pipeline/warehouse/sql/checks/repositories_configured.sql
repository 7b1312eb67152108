-- Repositories that deployments name and neither settings nor catalog, and how many deployments lose their lead time by
-- that: the first of a service has none in any case.
SELECT
    d.repository_id, COUNT(CASE WHEN d.lead_time_reason = 'repository_not_configured' THEN 1 END) AS deployments,
    COUNT(DISTINCT d.service) AS services, MIN(d.service) AS service, MAX(d.finished_at) AS newest_deployment_at
FROM core.deployments AS d
LEFT JOIN landing.repositories AS c ON d.repository_id = c.repository_id
WHERE d.is_selected AND d.duplicate_of IS NULL AND d.repository_id IS NOT NULL AND c.repository_id IS NULL
GROUP BY d.repository_id
ORDER BY deployments DESC, d.repository_id
