-- metrics.freshness: a row for each other table of core and metrics, as it is now.
SELECT
    t.table_name, t.rows, t.newest_event_at, t.newest_day,
    COALESCE(s.stale_days, 0) AS stale_days,
    CAST($last_run_at AS TIMESTAMPTZ) AS last_run_at,
    $code_version AS code_version
FROM (
    SELECT
        'core.source_selections' AS table_name, COUNT(*) AS rows,
        MAX(COALESCE(unselected_at, selected_at)) AS newest_event_at, CAST(NULL AS DATE) AS newest_day
    FROM core.source_selections
    UNION ALL
    SELECT 'core.services' AS table_name, COUNT(*) AS rows, CAST(NULL AS TIMESTAMPTZ) AS newest_event_at, CAST(NULL AS DATE) AS newest_day
    FROM core.services
    UNION ALL
    SELECT 'core.apm_version_activity' AS table_name, COUNT(*) AS rows, MAX(last_seen_at) AS newest_event_at, MAX(day) AS newest_day
    FROM core.apm_version_activity
    UNION ALL
    SELECT 'core.deployments' AS table_name, COUNT(*) AS rows, MAX(finished_at) AS newest_event_at, MAX(day) AS newest_day
    FROM core.deployments
    UNION ALL
    SELECT 'core.deployment_commits' AS table_name, COUNT(*) AS rows, MAX(finished_at) AS newest_event_at, MAX(day) AS newest_day
    FROM core.deployment_commits
    UNION ALL
    SELECT 'core.failures' AS table_name, COUNT(*) AS rows, MAX(started_at) AS newest_event_at, MAX(day) AS newest_day
    FROM core.failures
    UNION ALL
    SELECT 'core.failure_links' AS table_name, COUNT(*) AS rows, CAST(NULL AS TIMESTAMPTZ) AS newest_event_at, MAX(day) AS newest_day
    FROM core.failure_links
    UNION ALL
    SELECT 'core.failed_changes' AS table_name, COUNT(*) AS rows, CAST(NULL AS TIMESTAMPTZ) AS newest_event_at, MAX(day) AS newest_day
    FROM core.failed_changes
    UNION ALL
    SELECT 'core.rejected_events' AS table_name, COUNT(*) AS rows, MAX(detected_at) AS newest_event_at, MAX(day) AS newest_day
    FROM core.rejected_events
    UNION ALL
    SELECT 'metrics.daily' AS table_name, COUNT(*) AS rows, CAST(NULL AS TIMESTAMPTZ) AS newest_event_at, MAX(day) AS newest_day
    FROM metrics.daily
) AS t
LEFT JOIN (
    SELECT d.target, COUNT(*) AS stale_days FROM landing.stale_days AS d GROUP BY d.target
) AS s ON t.table_name = s.target
