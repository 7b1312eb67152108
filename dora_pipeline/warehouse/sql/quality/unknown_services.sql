-- Services of events that the catalog has no definition of, if it has any.
SELECT
    e.service, COUNT(CASE WHEN e.event_type = 'deployment' THEN 1 END) AS deployments,
    COUNT(CASE WHEN e.event_type = 'failure' THEN 1 END) AS failures, MAX(e.occurred_at) AS newest_event_at,
    MIN(e.source) AS source
FROM core.events AS e
LEFT JOIN core.services AS s ON e.service = s.service
WHERE e.service IS NOT NULL AND s.service IS NULL AND EXISTS (SELECT 1 FROM core.services AS c)
GROUP BY e.service
ORDER BY COUNT(*) DESC, e.service
