-- Services of the events of $event_type that the catalog has no definition of, if it has any.
SELECT e.service, COUNT(*) AS events, MAX(e.occurred_at) AS newest_event_at, MIN(e.source) AS source
FROM (
    SELECT 'deployment' AS event_type, d.source, d.service, d.finished_at AS occurred_at FROM core.deployments AS d
    UNION ALL
    SELECT 'failure' AS event_type, f.source, f.service, f.started_at AS occurred_at FROM core.failures AS f
) AS e
LEFT JOIN core.services AS s ON e.service = s.service
WHERE e.event_type = $event_type AND e.service IS NOT NULL AND s.service IS NULL
    AND EXISTS (SELECT 1 FROM core.services AS c)
GROUP BY e.service
ORDER BY events DESC, e.service
