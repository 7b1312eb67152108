-- Services, or teams of failures that name no service, whose deployments have an env and some of whose failures have none,
-- by source; events that metrics count. `env` is that of most deployments of any service.
WITH deployed AS (
    SELECT d.service, d.team
    FROM core.deployments AS d
    WHERE d.is_selected AND d.duplicate_of IS NULL AND d.env IS NOT NULL
    GROUP BY d.service, d.team
)
SELECT
    f.source, COALESCE(f.service, 'team ' || f.team) AS service, COUNT(*) AS failures, MAX(f.started_at) AS newest_failure_at,
    MIN(f.failure_id) AS failure_id,
    (SELECT MODE(d.env) FROM core.deployments AS d WHERE d.is_selected AND d.duplicate_of IS NULL) AS env
FROM core.failures AS f
WHERE f.is_selected AND f.env IS NULL
    AND (
        f.service IN (SELECT d.service FROM deployed AS d)
        OR f.service IS NULL AND f.team IN (SELECT d.team FROM deployed AS d)
    )
GROUP BY f.source, COALESCE(f.service, 'team ' || f.team)
ORDER BY failures DESC, f.source, service
