-- core.deployment_commits for the days in run_days: the commits that each deployment brought.
WITH brought AS (
{landing.brought_commits}
        AND r.day IN (SELECT y.day FROM run_days AS y)
)
SELECT
    d.deployment_id, d.service, d.env, b.repository_id, b.commit_sha, b.landed_as_sha, b.subject,
    b.authored_at, b.committed_at, d.finished_at,
    CAST(DATE_DIFF('microsecond', b.authored_at, d.finished_at) AS DOUBLE) / 1000000 AS lead_time_seconds,
    b.is_redelivery, d.is_selected, d.day
FROM core.deployments AS d
INNER JOIN brought AS b ON d.deployment_id = b.deployment_id
WHERE d.day IN (SELECT r.day FROM run_days AS r)
