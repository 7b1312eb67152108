-- Environments of the events of $event_type that are none of $environments.
SELECT e.env, COUNT(*) AS events, MAX(e.occurred_at) AS newest_event_at, MIN(e.service) AS service, MIN(e.source) AS source
FROM (
    SELECT 'deployment' AS event_type, d.source, d.service, d.env, d.finished_at AS occurred_at FROM core.deployments AS d
    UNION ALL
    SELECT 'failure' AS event_type, f.source, f.service, f.env, f.started_at AS occurred_at FROM core.failures AS f
) AS e
WHERE e.event_type = $event_type AND e.env IS NOT NULL AND e.env NOT IN (SELECT UNNEST($environments))
GROUP BY e.env
ORDER BY events DESC, e.env
