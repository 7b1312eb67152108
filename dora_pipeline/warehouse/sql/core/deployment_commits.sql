-- core.deployment_commits for the days in run_days: the commits that each deployment brought.
SELECT
    d.deployment_id, d.service, d.env, d.repository_id, c.commit_sha, c.authored_at, c.committed_at, d.finished_at,
    CAST(DATE_DIFF('microsecond', c.authored_at, d.finished_at) AS DOUBLE) / 1000000 AS lead_time_seconds,
    d.is_selected, d.day
FROM core.deployments AS d
INNER JOIN landing.range_commits AS c ON d.range_id = c.range_id
WHERE d.day IN (SELECT r.day FROM run_days AS r)
