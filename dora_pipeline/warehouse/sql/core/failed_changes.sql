-- core.failed_changes for the days in run_days: the deployments that failed, with what mended them.
SELECT
    d.deployment_id, d.service, d.env, d.team, c.way, c.rule, c.remediation_id, c.remediation_type, c.recovery_seconds,
    d.is_selected, d.day
FROM core.deployments AS d
INNER JOIN landing.failed_changes AS c ON d.deployment_id = c.deployment_id AND d.day = c.day
WHERE d.day IN (SELECT r.day FROM run_days AS r)
