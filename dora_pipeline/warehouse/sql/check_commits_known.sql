-- Why deployments of the days in run_days have no lead time, and whether a commit or a repository is what they lack.
SELECT
    d.lead_time_reason AS reason,
    CASE WHEN d.lead_time_reason IN (
        'no_commit', 'no_repository', 'repository_not_configured', 'repository_missing', 'commit_missing', 'previous_commit_missing'
    ) THEN TRUE ELSE FALSE END AS is_lacking,
    COUNT(*) AS deployments,
    CAST(COUNT(*) AS DOUBLE) / MAX(a.deployments) AS share,
    MIN(d.service) AS service,
    MIN(d.deployment_id) AS deployment_id
FROM core.deployments AS d
CROSS JOIN (
    SELECT COUNT(*) AS deployments
    FROM core.deployments AS x
    WHERE x.is_selected AND x.duplicate_of IS NULL AND x.day IN (SELECT r.day FROM run_days AS r)
) AS a
WHERE d.is_selected AND d.duplicate_of IS NULL AND d.lead_time_reason IS NOT NULL
    AND d.day IN (SELECT r.day FROM run_days AS r)
GROUP BY d.lead_time_reason
ORDER BY is_lacking DESC, deployments DESC, reason
