-- Services, or teams of failures that name no service, some of whose failures have no env, by source, where deployments have
-- one: the rates of an env of these services, of their teams and of all are not known then; events that metrics count.
-- `env` is that of most failures that name one, else of most deployments.
SELECT
    f.source, COALESCE(f.service, 'team ' || f.team) AS service, COUNT(*) AS failures, MAX(f.started_at) AS newest_failure_at,
    MIN(f.failure_id) AS failure_id,
    COALESCE(
        (SELECT MODE(o.env) FROM core.failures AS o WHERE o.is_selected),
        (SELECT MODE(d.env) FROM core.deployments AS d WHERE d.is_selected AND d.duplicate_of IS NULL)
    ) AS env
FROM core.failures AS f
WHERE f.is_selected AND f.env IS NULL
    AND EXISTS (
        SELECT 1 FROM core.deployments AS d WHERE d.is_selected AND d.duplicate_of IS NULL AND d.env IS NOT NULL
    )
GROUP BY f.source, COALESCE(f.service, 'team ' || f.team)
ORDER BY failures DESC, f.source, service
