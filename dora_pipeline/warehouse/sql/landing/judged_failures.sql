-- Failures by the rules of selection and of the same second, for the days in changed_days.
WITH sources AS (
    SELECT
        s.source,
        MIN(s.first_selected_at) AS first_selected_at,
        MAX(CASE WHEN s.is_selected THEN s.priority END) AS priority
    FROM core.source_selections AS s
    WHERE s.event_type = 'failure'
    GROUP BY s.source
),
records AS (
    SELECT
        f.source, f.failure_id, f.service, f.env, f.team, f.name, f.severity, f.version, f.repository_id, f.commit_sha,
        f.url, f.started_at, f.finished_at, f.time_to_restore_seconds, f.custom_tags, f.received_at, f.restored_day, f.day,
        CASE WHEN s.priority IS NULL THEN FALSE ELSE TRUE END AS is_selected
    FROM landing.failures AS f
    INNER JOIN sources AS s ON f.source = s.source
    WHERE f.started_at >= s.first_selected_at AND f.day IN (SELECT c.day FROM changed_days AS c)
)
SELECT
    r.failure_id, r.source, r.service, r.env, r.team, r.name, r.severity, r.version, r.repository_id, r.commit_sha, r.url,
    r.started_at, r.finished_at, r.time_to_restore_seconds, r.custom_tags, r.received_at,
    -- The rule is about services: failures that name none do not collide.
    r.service IS NOT NULL AND ROW_NUMBER() OVER (
        PARTITION BY r.source, r.service, DATE_TRUNC('second', r.started_at)
        ORDER BY r.received_at, r.failure_id
    ) > 1 AS is_rejected,
    r.is_selected, r.restored_day, r.day
FROM records AS r
