-- core.rejected_events for the days in run_days: what could not be used when it landed, and of two deployments or
-- failures of one service in one second all but the first received.
WITH sources AS (
    {core.first_selections}
)
SELECT l.event_type, l.source, l.reason, l.service, l.env, l.team, l.occurred_at, l.payload, l.records, l.detected_at, l.day
FROM landing.rejected_events AS l
INNER JOIN sources AS s ON l.source = s.source
WHERE l.day IN (SELECT r.day FROM run_days AS r)
    AND COALESCE(l.occurred_at, l.detected_at) >= s.first_selected_at
UNION ALL
SELECT
    'deployment' AS event_type, d.source, 'same_second' AS reason, d.service, d.env, d.team, d.finished_at AS occurred_at,
    JSON_OBJECT(
        'deployment_id', d.deployment_id, 'service', d.service, 'env', d.env, 'version', d.version,
        'commit_sha', d.commit_sha, 'started_at', CAST(d.started_at AS VARCHAR), 'finished_at', CAST(d.finished_at AS VARCHAR)
    ) AS payload,
    1 AS records, d.received_at AS detected_at, d.day
FROM landing.judged_deployments AS d
WHERE d.history = 'rejected' AND d.day IN (SELECT r.day FROM run_days AS r)
UNION ALL
SELECT
    'failure' AS event_type, f.source, 'same_second' AS reason, f.service, f.env, f.team, f.started_at AS occurred_at,
    JSON_OBJECT(
        'failure_id', f.failure_id, 'service', f.service, 'env', f.env, 'team', f.team, 'name', f.name,
        'started_at', CAST(f.started_at AS VARCHAR), 'finished_at', CAST(f.finished_at AS VARCHAR)
    ) AS payload,
    1 AS records, f.received_at AS detected_at, f.day
FROM landing.judged_failures AS f
WHERE f.is_rejected AND f.day IN (SELECT r.day FROM run_days AS r)
