-- That a deployment failed, and how that is known; and the deployments that it mended.
SELECT
    CASE WHEN x.deployment_id = $event_id THEN 'failed' ELSE 'mends' END AS part, x.deployment_id, x.way, x.rule,
    x.remediation_id, x.remediation_type, x.recovery_seconds
FROM core.failed_changes AS x
WHERE x.deployment_id = $event_id OR x.remediation_id = $event_id
ORDER BY part, x.deployment_id
