-- A failure, a row for each impacted service, with the deployment that most likely caused it: as core has it; else as it
-- came, with why core has it not.
SELECT
    f.failure_id, f.source, f.service, f.env, f.team, f.name, f.severity, f.version, f.repository_id, f.commit_sha, f.url,
    f.started_at, f.finished_at, f.time_to_restore_seconds, f.custom_tags, f.day, f.restored_day,
    l.deployment_id, l.rule, l.reason, l.distance_seconds, l.runner_up_id, l.runner_up_rule,
    CASE WHEN NOT f.is_selected THEN 'not_selected' END AS left_out
FROM core.failures AS f
LEFT JOIN core.failure_links AS l
    ON f.failure_id = l.failure_id AND f.service IS NOT DISTINCT FROM l.service AND f.day = l.day
WHERE f.failure_id = $event_id
UNION ALL
SELECT
    g.failure_id, g.source, g.service, g.env, g.team, g.name, g.severity, g.version, g.repository_id, g.commit_sha, g.url,
    g.started_at, g.finished_at, g.time_to_restore_seconds, g.custom_tags, g.day, g.restored_day,
    CAST(NULL AS VARCHAR), CAST(NULL AS VARCHAR), CAST(NULL AS VARCHAR), CAST(NULL AS DOUBLE), CAST(NULL AS VARCHAR),
    CAST(NULL AS VARCHAR),
    CASE WHEN s.first_selected_at IS NULL THEN 'never_selected'
         WHEN g.started_at < s.first_selected_at THEN 'before_first_selection' ELSE 'not_in_core' END
FROM landing.failures AS g
LEFT JOIN (
    {core.first_selections}
) AS s ON g.source = s.source
WHERE g.failure_id = $event_id
    AND NOT EXISTS (
        SELECT 1 FROM core.failures AS f WHERE f.failure_id = g.failure_id AND f.service IS NOT DISTINCT FROM g.service
    )
ORDER BY 3
