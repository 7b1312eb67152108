-- core.failures for the days in run_days: failures as told, by the rules of selection and of the same second.
WITH sources AS (
    SELECT
        s.source,
        MIN(s.first_selected_at) AS first_selected_at,
        MAX(CASE WHEN s.is_selected THEN s.priority END) AS priority
    FROM core.source_selections AS s
    WHERE s.event_type = 'failure'
    GROUP BY s.source
),
events AS (
    SELECT DISTINCT f.source, f.failure_id
    FROM landing.failures AS f
    WHERE f.day IN (SELECT r.day FROM run_days AS r)
),
tellings AS (
    SELECT
        f.source, f.failure_id, f.service, f.env, f.team, f.name, f.severity, f.version, f.repository_id, f.commit_sha,
        f.url, f.started_at, f.finished_at, f.time_to_restore_seconds, f.custom_tags, f.received_at, f.restored_day, f.day,
        s.priority, s.first_selected_at,
        -- Sent to us and pulled, one failure may be told twice: the last input by name stands.
        ROW_NUMBER() OVER (PARTITION BY f.source, f.failure_id, f.service ORDER BY f.input DESC) AS place_of_telling
    FROM landing.failures AS f
    INNER JOIN events AS e ON f.source = e.source AND f.failure_id = e.failure_id
    INNER JOIN sources AS s ON f.source = s.source
),
told AS (
    SELECT
        t.source, t.failure_id, t.service, t.env, t.team, t.name, t.severity, t.version, t.repository_id, t.commit_sha,
        t.url, t.started_at, t.finished_at, t.time_to_restore_seconds, t.custom_tags, t.restored_day, t.day, t.priority,
        -- The rule is about services: failures that name none do not collide.
        CASE WHEN t.service IS NULL THEN 1 ELSE ROW_NUMBER() OVER (
            PARTITION BY t.source, t.service, DATE_TRUNC('second', t.started_at)
            ORDER BY t.received_at, t.failure_id
        ) END AS place_in_second
    FROM tellings AS t
    WHERE t.place_of_telling = 1 AND t.started_at >= t.first_selected_at AND t.day IN (SELECT r.day FROM run_days AS r)
)
SELECT
    t.failure_id, t.source, t.service, t.env,
    COALESCE(t.team, s.team) AS team,
    t.name, t.severity, t.version,
    CASE WHEN c.repository_id IS NOT NULL OR s.repository_id IS NULL THEN t.repository_id ELSE s.repository_id END AS repository_id,
    t.commit_sha, t.url, t.started_at, t.finished_at, t.time_to_restore_seconds, t.custom_tags,
    CASE WHEN t.priority IS NULL THEN FALSE ELSE TRUE END AS is_selected,
    t.restored_day, t.day
FROM told AS t
LEFT JOIN core.services AS s ON t.service = s.service
LEFT JOIN landing.repositories AS c ON t.repository_id = c.repository_id
WHERE t.place_in_second = 1
