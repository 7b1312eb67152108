-- What does not add up, by table, measure and source: rows that should be there on the days that differ, and rows that
-- are. Landed is judged, rejected or not yet selected; judged is in core, duplicates included; each failure is linked, or has
-- the reason why not; what counts in core is in metrics.daily. Counted in events and services, on the days that match what has landed.
WITH sources AS (
    {core.first_selections}
),
daily AS (
    SELECT
        m.day, SUM(m.deployments) AS deployments, SUM(m.failures) AS failures, SUM(m.restores) AS restores,
        SUM(m.failed_changes) AS failed_changes
    FROM metrics.daily AS m
    GROUP BY m.day
),
-- Everything that stands in a table, counted by its day: `lost` are those of the events that do not go on into the next one.
-- Each table is counted before all are taken together, which takes half the time.
counted AS (
    SELECT 'landed' AS stage, 'deployment' AS event_type, l.source, l.day, l.events, 0 AS lost
    FROM (SELECT x.source, x.day, COUNT(*) AS events FROM landing.deployments AS x GROUP BY x.source, x.day) AS l
    INNER JOIN sources AS s ON l.source = s.source
    UNION ALL
    -- Not yet selected: mostly none, which takes less to see than to compare each of the others.
    SELECT 'landed', 'deployment', l.source, l.day, -COUNT(*), 0
    FROM landing.deployments AS l
    INNER JOIN sources AS s ON l.source = s.source AND l.finished_at < s.first_selected_at
    GROUP BY l.source, l.day
    UNION ALL
    SELECT 'landed', 'failure', l.source, l.day, COUNT(*), 0
    FROM landing.failures AS l
    INNER JOIN sources AS s ON l.source = s.source AND l.started_at >= s.first_selected_at
    GROUP BY l.source, l.day
    UNION ALL
    SELECT 'landed', 'rejected', l.source, l.day, COUNT(*), 0
    FROM landing.rejected_events AS l
    INNER JOIN sources AS s ON l.source = s.source AND COALESCE(l.occurred_at, l.detected_at) >= s.first_selected_at
    GROUP BY l.source, l.day
    UNION ALL
    SELECT 'landed', 'sighting', 'apm_deployment_tracking', l.day, SUM(l.sightings), 0
    FROM landing.version_activity AS l
    WHERE l.last_seen_at >= (SELECT s.first_selected_at FROM sources AS s WHERE s.source = 'apm_deployment_tracking')
    GROUP BY l.day
    UNION ALL
    SELECT 'judged', 'deployment', j.source, j.day, COUNT(*), COUNT(CASE WHEN j.history = 'rejected' THEN 1 END)
    FROM landing.judged_deployments AS j
    GROUP BY j.source, j.day
    UNION ALL
    SELECT 'judged', 'failure', j.source, j.day, COUNT(*), COUNT(CASE WHEN j.is_rejected THEN 1 END)
    FROM landing.judged_failures AS j
    GROUP BY j.source, j.day
    UNION ALL
    SELECT 'judged', 'link', '', l.day, COUNT(*), 0 FROM landing.failure_links AS l GROUP BY l.day
    UNION ALL
    SELECT
        'core', 'deployment', d.source, d.day, COUNT(*),
        COUNT(*) - COUNT(CASE WHEN d.is_selected AND d.duplicate_of IS NULL THEN 1 END)
    FROM core.deployments AS d
    GROUP BY d.source, d.day
    UNION ALL
    SELECT 'core', 'failure', f.source, f.day, COUNT(*), COUNT(*) - COUNT(CASE WHEN f.is_selected THEN 1 END)
    FROM core.failures AS f
    GROUP BY f.source, f.day
    UNION ALL
    SELECT 'core', 'restore', '', f.restored_day, COUNT(*), 0
    FROM core.failures AS f
    WHERE f.is_selected AND f.time_to_restore_seconds IS NOT NULL
    GROUP BY f.restored_day
    UNION ALL
    SELECT 'core', 'change', '', x.day, COUNT(*), 0 FROM core.failed_changes AS x WHERE x.is_selected GROUP BY x.day
    UNION ALL
    SELECT 'core', 'link', '', l.day, COUNT(*), 0 FROM core.failure_links AS l GROUP BY l.day
    UNION ALL
    SELECT 'core', 'rejected', r.source, r.day, COUNT(*), 0 FROM core.rejected_events AS r GROUP BY r.source, r.day
    UNION ALL
    SELECT 'core', 'sighting', 'apm_deployment_tracking', a.day, SUM(a.sightings), 0
    FROM core.apm_version_activity AS a
    GROUP BY a.day
    UNION ALL
    SELECT 'daily', 'deployment', '', m.day, m.deployments, 0 FROM daily AS m
    UNION ALL
    SELECT 'daily', 'failure', '', m.day, m.failures, 0 FROM daily AS m
    UNION ALL
    SELECT 'daily', 'restore', '', m.day, m.restores, 0 FROM daily AS m
    UNION ALL
    SELECT 'daily', 'change', '', m.day, m.failed_changes, 0 FROM daily AS m
),
-- What is counted where: all events, those that are lost, or those that are kept.
rules AS (
    SELECT *
    FROM (
        VALUES
        ('landed', 'deployment', 'all', 'expected', 'landing.judged_deployments', 'deployments'),
        ('judged', 'deployment', 'all', 'found', 'landing.judged_deployments', 'deployments'),
        ('judged', 'deployment', 'kept', 'expected', 'core.deployments', 'deployments'),
        ('core', 'deployment', 'all', 'found', 'core.deployments', 'deployments'),
        ('core', 'deployment', 'kept', 'expected', 'metrics.daily', 'deployments'),
        ('daily', 'deployment', 'all', 'found', 'metrics.daily', 'deployments'),
        ('landed', 'failure', 'all', 'expected', 'landing.judged_failures', 'failures'),
        ('judged', 'failure', 'all', 'found', 'landing.judged_failures', 'failures'),
        ('judged', 'failure', 'kept', 'expected', 'core.failures', 'failures'),
        ('core', 'failure', 'all', 'found', 'core.failures', 'failures'),
        ('core', 'failure', 'kept', 'expected', 'metrics.daily', 'failures'),
        ('daily', 'failure', 'all', 'found', 'metrics.daily', 'failures'),
        ('core', 'restore', 'all', 'expected', 'metrics.daily', 'restores'),
        ('daily', 'restore', 'all', 'found', 'metrics.daily', 'restores'),
        ('core', 'change', 'all', 'expected', 'metrics.daily', 'failed changes'),
        ('daily', 'change', 'all', 'found', 'metrics.daily', 'failed changes'),
        ('judged', 'failure', 'kept', 'expected', 'landing.failure_links', 'links'),
        ('judged', 'link', 'all', 'found', 'landing.failure_links', 'links'),
        ('core', 'failure', 'all', 'expected', 'core.failure_links', 'links'),
        ('core', 'link', 'all', 'found', 'core.failure_links', 'links'),
        ('landed', 'rejected', 'all', 'expected', 'core.rejected_events', 'rejected events'),
        ('judged', 'deployment', 'lost', 'expected', 'core.rejected_events', 'rejected events'),
        ('judged', 'failure', 'lost', 'expected', 'core.rejected_events', 'rejected events'),
        ('core', 'rejected', 'all', 'found', 'core.rejected_events', 'rejected events'),
        ('landed', 'sighting', 'all', 'expected', 'core.apm_version_activity', 'sightings'),
        ('core', 'sighting', 'all', 'found', 'core.apm_version_activity', 'sightings')
    ) AS r(stage, event_type, part, side, table_name, measure)
),
entries AS (
    SELECT
        r.table_name, r.measure, c.day, r.side,
        CASE WHEN r.measure = 'links' THEN 'every source' WHEN r.table_name = 'metrics.daily' THEN '' ELSE c.source END AS source,
        CASE r.part WHEN 'all' THEN c.events WHEN 'lost' THEN c.lost ELSE c.events - c.lost END AS events
    FROM counted AS c
    INNER JOIN rules AS r ON c.stage = r.stage AND c.event_type = r.event_type
),
waiting AS (
    SELECT s.target AS table_name, s.day FROM landing.stale_days AS s
    UNION ALL
    -- Links may be newer than failures that wait.
    SELECT 'core.failure_links', s.day FROM landing.stale_days AS s WHERE s.target = 'core.failures'
    UNION ALL
    -- A link or a restore may have brought a day of metrics.daily up to date whose events wait.
    SELECT 'metrics.daily', s.day FROM landing.stale_days AS s WHERE s.target IN ('core.deployments', 'core.failures')
    UNION ALL
    SELECT 'metrics.daily', f.restored_day
    FROM core.failures AS f
    INNER JOIN landing.stale_days AS s ON f.day = s.day AND s.target = 'core.failures'
),
wrong AS (
    SELECT
        e.table_name, e.measure, e.source, e.day,
        SUM(CASE WHEN e.side = 'expected' THEN e.events ELSE 0 END) AS expected,
        SUM(CASE WHEN e.side = 'found' THEN e.events ELSE 0 END) AS found
    FROM entries AS e
    LEFT JOIN waiting AS s ON e.table_name = s.table_name AND e.day = s.day
    WHERE s.day IS NULL
    GROUP BY e.table_name, e.measure, e.source, e.day
    HAVING SUM(CASE WHEN e.side = 'expected' THEN e.events ELSE -e.events END) <> 0
),
selected AS (
    SELECT s.event_type, STRING_AGG(DISTINCT s.source, ', ' ORDER BY s.source) AS sources
    FROM core.source_selections AS s
    WHERE s.is_selected
    GROUP BY s.event_type
)
-- Days with too few rows and days with too many are counted apart, so that they do not make up for each other.
SELECT
    w.table_name, w.measure, CASE WHEN w.table_name = 'metrics.daily' THEN s.sources ELSE w.source END AS source,
    CAST(SUM(w.expected) AS BIGINT) AS expected, CAST(SUM(w.found) AS BIGINT) AS found, COUNT(*) AS days, MIN(w.day) AS first_day
FROM wrong AS w
LEFT JOIN selected AS s
    ON s.event_type = CASE WHEN w.measure IN ('deployments', 'failed changes') THEN 'deployment' ELSE 'failure' END
GROUP BY w.table_name, w.measure, w.source, s.sources, CASE WHEN w.found < w.expected THEN 1 ELSE 0 END
-- What is lost early is lost in all that follows.
ORDER BY
    CASE WHEN w.table_name LIKE 'landing.judged%' THEN 1 WHEN w.table_name LIKE 'landing.%' THEN 2
         WHEN w.table_name LIKE 'core.%' AND w.table_name <> 'core.failure_links' THEN 3 WHEN w.table_name LIKE 'core.%' THEN 4
         ELSE 5 END,
    MIN(w.day), w.table_name, w.measure, w.source
