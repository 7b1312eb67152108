-- Failures of selected sources that are linked to no deployment, with the reason; the newest first, a row for each service.
SELECT l.failure_id, f.name, l.service, l.env, f.team, f.source, f.started_at, l.reason
FROM core.failure_links AS l
INNER JOIN core.failures AS f
    ON l.failure_id = f.failure_id AND l.service IS NOT DISTINCT FROM f.service AND l.day = f.day
WHERE l.is_selected AND l.deployment_id IS NULL
ORDER BY f.started_at DESC, l.failure_id, l.service
