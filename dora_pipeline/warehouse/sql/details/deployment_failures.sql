-- The failures that are linked to a deployment, and those of which it is the runner-up; a row for each impacted service.
SELECT
    l.failure_id, l.service, l.env, CASE WHEN l.deployment_id = $event_id THEN 'linked' ELSE 'runner_up' END AS part,
    CASE WHEN l.deployment_id = $event_id THEN l.rule ELSE l.runner_up_rule END AS rule,
    l.distance_seconds, l.deployment_id, l.runner_up_id, l.runner_up_rule, l.is_selected,
    f.name, f.severity, f.url, f.started_at, f.finished_at, f.time_to_restore_seconds
FROM core.failure_links AS l
INNER JOIN core.failures AS f
    ON l.failure_id = f.failure_id AND l.service IS NOT DISTINCT FROM f.service AND l.day = f.day
WHERE l.deployment_id = $event_id OR l.runner_up_id = $event_id
ORDER BY part, f.started_at, l.failure_id, l.service
