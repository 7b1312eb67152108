-- Events of $event_type that were received more than $tolerance_us before they happened, by source and service. What
-- was inferred is received when it is first seen; what came without a receipt has the moment when it started.
SELECT
    e.source, e.service, COUNT(*) AS events,
    CAST(MAX(DATE_DIFF('microsecond', e.received_at, e.occurred_at)) AS DOUBLE) / 1000000 AS most_seconds_early,
    MAX(e.occurred_at) AS newest_event_at, MIN(e.event_id) AS event_id
FROM (
    SELECT 'deployment' AS event_type, d.source, d.service, d.deployment_id AS event_id, d.received_at, d.finished_at AS occurred_at
    FROM landing.deployments AS d
    WHERE d.input IS NOT NULL AND d.received_at <> d.started_at
    UNION ALL
    SELECT 'failure' AS event_type, f.source, f.service, f.failure_id AS event_id, f.received_at, f.started_at AS occurred_at
    FROM landing.failures AS f
) AS e
WHERE e.event_type = $event_type
    AND DATE_DIFF('microsecond', e.received_at, e.occurred_at) > $tolerance_us
GROUP BY e.source, e.service
ORDER BY most_seconds_early DESC, e.source, e.service
