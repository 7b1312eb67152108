-- core.events: deployments and failures in one.
SELECT
    'deployment' AS event_type, d.deployment_id AS event_id, d.source, d.service, d.env, d.team, d.finished_at AS occurred_at,
    d.is_selected AND d.duplicate_of IS NULL AS is_counted, d.day
FROM core.deployments AS d
UNION ALL
SELECT
    'failure' AS event_type, f.failure_id AS event_id, f.source, f.service, f.env, f.team, f.started_at AS occurred_at,
    f.is_selected AS is_counted, f.day
FROM core.failures AS f
