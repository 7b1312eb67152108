-- core.deployments for the days in run_days: derived_deployments with the lead times over the commits that each brought
-- first. The mean is a sum of whole microseconds, so that it does not depend on the order of the commits.
WITH derived AS (
{core.derived_deployments}
        AND j.day IN (SELECT x.day FROM run_days AS x)
),
brought AS (
{landing.brought_commits}
        AND r.day IN (SELECT y.day FROM run_days AS y)
)
SELECT
    d.deployment_id, d.source, d.service, d.env, d.version, d.team, d.repository_id, d.commit_sha,
    d.started_at, d.finished_at, COALESCE(k.kind, 'standard') AS kind,
    LIST_CONCAT(
        [t FOR t, place IN d.custom_tags IF LIST_POSITION(d.custom_tags, t) = place],
        [t FOR t IN s.tags IF NOT LIST_CONTAINS(d.custom_tags, t)]
    ) AS custom_tags,
    d.change_failure, d.remediation_id, d.remediation_type,
    d.duplicate_of, d.is_selected,
    d.previous_deployment_id, d.previous_commit_sha, r.range_id,
    CASE WHEN r.range_id IS NOT NULL THEN COALESCE(c.commits, 0) END AS lead_time_commits,
    c.mean_seconds AS lead_time_mean_seconds,
    CASE WHEN d.lead_time_reason IS NOT NULL THEN d.lead_time_reason
         WHEN r.reason IS NOT NULL THEN r.reason
         WHEN c.deployment_id IS NULL THEN 'no_commits'
         WHEN c.delivered_first = 0 THEN 'redelivered'
         WHEN c.commits = 0 THEN 'no_author_time' END AS lead_time_reason,
    d.day
FROM derived AS d
LEFT JOIN (
    {core.carried_tags}
) AS s ON d.service = s.service
LEFT JOIN landing.deployment_kinds AS k ON COALESCE(d.duplicate_of, d.deployment_id) = k.deployment_id
LEFT JOIN (
    SELECT x.deployment_id, x.range_id, x.reason
    FROM landing.deployment_ranges AS x
    WHERE x.day IN (SELECT z.day FROM run_days AS z)
) AS r ON d.deployment_id = r.deployment_id
LEFT JOIN (
    SELECT
        b.deployment_id,
        SUM(CASE WHEN b.is_redelivery THEN 0 ELSE 1 END) AS delivered_first,
        COUNT(CASE WHEN NOT b.is_redelivery THEN b.authored_at END) AS commits,
        CAST(SUM(CASE WHEN NOT b.is_redelivery THEN DATE_DIFF('microsecond', b.authored_at, y.finished_at) END) AS DOUBLE)
            / NULLIF(COUNT(CASE WHEN NOT b.is_redelivery THEN b.authored_at END), 0) / 1000000 AS mean_seconds
    FROM brought AS b
    INNER JOIN landing.judged_deployments AS y ON b.deployment_id = y.deployment_id
    WHERE y.day IN (SELECT z.day FROM run_days AS z)
    GROUP BY b.deployment_id
) AS c ON d.deployment_id = c.deployment_id
