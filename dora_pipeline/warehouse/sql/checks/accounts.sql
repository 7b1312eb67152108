-- What does not add up, by table, measure and source: rows that should be there on the days that differ, and rows that
-- are. Landed is judged, rejected or not yet selected; judged is in core, duplicates included; each failure is linked, or has
-- the reason why not; what counts in core is in metrics.daily. Counted in events and services, on the days that match what has landed.
WITH sources AS (
    {core.first_selections}
),
selected AS (
    SELECT s.event_type, STRING_AGG(DISTINCT s.source, ', ' ORDER BY s.source) AS sources
    FROM core.source_selections AS s
    WHERE s.is_selected
    GROUP BY s.event_type
),
landed AS (
    SELECT 'deployment' AS event_type, l.source, l.day, l.finished_at AS counts_at
    FROM landing.deployments AS l
    UNION ALL
    SELECT 'failure' AS event_type, l.source, l.day, l.started_at AS counts_at
    FROM landing.failures AS l
    UNION ALL
    SELECT 'rejected' AS event_type, l.source, l.day, COALESCE(l.occurred_at, l.detected_at) AS counts_at
    FROM landing.rejected_events AS l
),
populated AS (
    SELECT l.event_type, l.source, l.day, COUNT(*) AS events
    FROM landed AS l
    INNER JOIN sources AS s ON l.source = s.source
    WHERE l.counts_at >= s.first_selected_at
    GROUP BY l.event_type, l.source, l.day
),
judged AS (
    SELECT j.source, j.day, COUNT(*) AS events, COUNT(CASE WHEN j.history = 'rejected' THEN 1 END) AS rejected
    FROM landing.judged_deployments AS j
    GROUP BY j.source, j.day
),
judged_failures AS (
    SELECT j.source, j.day, COUNT(*) AS events, COUNT(CASE WHEN j.is_rejected THEN 1 END) AS rejected
    FROM landing.judged_failures AS j
    GROUP BY j.source, j.day
),
unloaded_failures AS (
    SELECT s.day FROM landing.stale_days AS s WHERE s.target = 'core.failures'
),
daily AS (
    SELECT m.day, SUM(m.deployments) AS deployments, SUM(m.failures) AS failures, SUM(m.restores) AS restores,
        SUM(m.failed_changes) AS failed_changes
    FROM metrics.daily AS m
    GROUP BY m.day
),
entries AS (
    SELECT 'landing.judged_deployments' AS table_name, 'deployments' AS measure, p.source, p.day, p.events AS expected, 0 AS found
    FROM populated AS p WHERE p.event_type = 'deployment'
    UNION ALL
    SELECT 'landing.judged_deployments', 'deployments', j.source, j.day, 0, j.events FROM judged AS j
    UNION ALL
    SELECT 'core.deployments', 'deployments', j.source, j.day, j.events - j.rejected, 0 FROM judged AS j
    UNION ALL
    SELECT 'core.deployments', 'deployments', d.source, d.day, 0, COUNT(*) FROM core.deployments AS d GROUP BY d.source, d.day
    UNION ALL
    SELECT 'landing.judged_failures', 'failures', p.source, p.day, p.events, 0
    FROM populated AS p WHERE p.event_type = 'failure'
    UNION ALL
    SELECT 'landing.judged_failures', 'failures', j.source, j.day, 0, j.events FROM judged_failures AS j
    UNION ALL
    SELECT 'core.failures', 'failures', j.source, j.day, j.events - j.rejected, 0 FROM judged_failures AS j
    UNION ALL
    SELECT 'core.failures', 'failures', f.source, f.day, 0, COUNT(*) FROM core.failures AS f GROUP BY f.source, f.day
    UNION ALL
    SELECT 'landing.failure_links', 'links', 'every source', j.day, j.events - j.rejected, 0 FROM judged_failures AS j
    UNION ALL
    SELECT 'landing.failure_links', 'links', 'every source', l.day, 0, COUNT(*) FROM landing.failure_links AS l GROUP BY l.day
    UNION ALL
    SELECT 'core.failure_links', 'links', 'every source', f.day, COUNT(*), 0
    FROM core.failures AS f WHERE f.day NOT IN (SELECT u.day FROM unloaded_failures AS u) GROUP BY f.day
    UNION ALL
    SELECT 'core.failure_links', 'links', 'every source', l.day, 0, COUNT(*)
    FROM core.failure_links AS l WHERE l.day NOT IN (SELECT u.day FROM unloaded_failures AS u) GROUP BY l.day
    UNION ALL
    SELECT 'core.rejected_events', 'rejected events', p.source, p.day, p.events, 0
    FROM populated AS p WHERE p.event_type = 'rejected'
    UNION ALL
    SELECT 'core.rejected_events', 'rejected events', j.source, j.day, j.rejected, 0 FROM judged AS j
    UNION ALL
    SELECT 'core.rejected_events', 'rejected events', j.source, j.day, j.rejected, 0 FROM judged_failures AS j
    UNION ALL
    SELECT 'core.rejected_events', 'rejected events', r.source, r.day, 0, COUNT(*)
    FROM core.rejected_events AS r GROUP BY r.source, r.day
    UNION ALL
    SELECT 'core.apm_version_activity', 'sightings', l.source, l.day, SUM(l.sightings), 0
    FROM (
        SELECT s.source, a.day, a.sightings
        FROM landing.version_activity AS a
        INNER JOIN sources AS s ON s.source = 'apm_deployment_tracking' AND a.last_seen_at >= s.first_selected_at
    ) AS l
    GROUP BY l.source, l.day
    UNION ALL
    SELECT 'core.apm_version_activity', 'sightings', 'apm_deployment_tracking', a.day, 0, SUM(a.sightings)
    FROM core.apm_version_activity AS a GROUP BY a.day
    UNION ALL
    SELECT 'metrics.daily', 'deployments', s.sources, d.day, COUNT(d.day), 0
    FROM core.deployments AS d LEFT JOIN selected AS s ON s.event_type = 'deployment'
    WHERE d.is_selected AND d.duplicate_of IS NULL GROUP BY s.sources, d.day
    UNION ALL
    SELECT 'metrics.daily', 'deployments', s.sources, m.day, 0, COALESCE(m.deployments, 0)
    FROM daily AS m LEFT JOIN selected AS s ON s.event_type = 'deployment'
    UNION ALL
    SELECT 'metrics.daily', 'failures', s.sources, f.day, COUNT(f.day), 0
    FROM core.failures AS f LEFT JOIN selected AS s ON s.event_type = 'failure'
    WHERE f.is_selected GROUP BY s.sources, f.day
    UNION ALL
    SELECT 'metrics.daily', 'failures', s.sources, m.day, 0, COALESCE(m.failures, 0)
    FROM daily AS m LEFT JOIN selected AS s ON s.event_type = 'failure'
    UNION ALL
    SELECT 'metrics.daily', 'restores', s.sources, f.restored_day, COUNT(f.day), 0
    FROM core.failures AS f LEFT JOIN selected AS s ON s.event_type = 'failure'
    WHERE f.is_selected AND f.time_to_restore_seconds IS NOT NULL GROUP BY s.sources, f.restored_day
    UNION ALL
    SELECT 'metrics.daily', 'restores', s.sources, m.day, 0, COALESCE(m.restores, 0)
    FROM daily AS m LEFT JOIN selected AS s ON s.event_type = 'failure'
    UNION ALL
    SELECT 'metrics.daily', 'failed changes', s.sources, x.day, COUNT(x.day), 0
    FROM core.failed_changes AS x LEFT JOIN selected AS s ON s.event_type = 'deployment'
    WHERE x.is_selected GROUP BY s.sources, x.day
    UNION ALL
    SELECT 'metrics.daily', 'failed changes', s.sources, m.day, 0, COALESCE(m.failed_changes, 0)
    FROM daily AS m LEFT JOIN selected AS s ON s.event_type = 'deployment'
),
-- A link or a restore may have brought a day of metrics.daily up to date whose events wait.
waiting AS (
    SELECT s.target AS table_name, s.day FROM landing.stale_days AS s
    UNION ALL
    SELECT 'metrics.daily', s.day FROM landing.stale_days AS s WHERE s.target IN ('core.deployments', 'core.failures')
),
wrong AS (
    SELECT e.table_name, e.measure, e.source, e.day, SUM(e.expected) AS expected, SUM(e.found) AS found
    FROM entries AS e
    LEFT JOIN waiting AS s ON e.table_name = s.table_name AND e.day = s.day
    WHERE s.day IS NULL
    GROUP BY e.table_name, e.measure, e.source, e.day
    HAVING SUM(e.expected) <> SUM(e.found)
)
-- Days with too few rows and days with too many are counted apart, so that they do not make up for each other.
SELECT
    w.table_name, w.measure, w.source, CAST(SUM(w.expected) AS BIGINT) AS expected, CAST(SUM(w.found) AS BIGINT) AS found,
    COUNT(*) AS days, MIN(w.day) AS first_day
FROM wrong AS w
GROUP BY w.table_name, w.measure, w.source, CASE WHEN w.found < w.expected THEN 1 ELSE 0 END
-- What is lost early is lost in all that follows.
ORDER BY
    CASE WHEN w.table_name LIKE 'landing.judged%' THEN 1 WHEN w.table_name LIKE 'landing.%' THEN 2
         WHEN w.table_name LIKE 'core.%' AND w.table_name <> 'core.failure_links' THEN 3 WHEN w.table_name LIKE 'core.%' THEN 4
         ELSE 5 END,
    MIN(w.day), w.table_name, w.measure, w.source
