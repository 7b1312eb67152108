-- Services of the events of $event_type that the catalog has no definition of, if it has any.
SELECT e.service, COUNT(*) AS events, MAX(e.occurred_at) AS newest_event_at, MIN(e.source) AS source
FROM core.events AS e
LEFT JOIN core.services AS s ON e.service = s.service
WHERE e.event_type = $event_type AND e.service IS NOT NULL AND s.service IS NULL
    AND EXISTS (SELECT 1 FROM core.services AS c)
GROUP BY e.service
ORDER BY events DESC, e.service
