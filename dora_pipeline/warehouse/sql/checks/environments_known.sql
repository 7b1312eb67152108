-- Environments of the events of $event_type that are none of $environments.
SELECT e.env, COUNT(*) AS events, MAX(e.occurred_at) AS newest_event_at, MIN(e.service) AS service, MIN(e.source) AS source
FROM core.events AS e
WHERE e.event_type = $event_type AND e.env IS NOT NULL AND e.env NOT IN (SELECT UNNEST($environments))
GROUP BY e.env
ORDER BY events DESC, e.env
