-- Deployments of the days in run_days by the rules of selection, same second, merging and history; all but what needs
-- the commits. A row depends on everything that has landed for its service, never on which days are loaded.
WITH sources AS (
    SELECT
        s.source,
        MIN(s.first_selected_at) AS first_selected_at,
        MAX(CASE WHEN s.is_selected THEN s.priority END) AS priority
    FROM core.source_selections AS s
    WHERE s.event_type = 'deployment'
    GROUP BY s.source
),
tellings AS (
    SELECT
        d.source, d.deployment_id, d.service, d.env, d.version, d.team, d.repository_id, d.commit_sha,
        d.started_at, d.finished_at, d.custom_tags, d.received_at, d.day, s.priority,
        -- Exports may overlap, so that several tell one event: the last by name stands.
        ROW_NUMBER() OVER (PARTITION BY d.source, d.deployment_id ORDER BY d.input DESC) AS place_of_telling
    FROM landing.deployments AS d
    INNER JOIN sources AS s ON d.source = s.source
    WHERE d.finished_at >= s.first_selected_at
        AND d.service IN (
            SELECT w.service FROM landing.deployments AS w WHERE w.day IN (SELECT r.day FROM run_days AS r)
        )
),
told AS (
    SELECT
        t.source, t.deployment_id, t.service, t.env, t.version, t.team, t.repository_id, t.commit_sha,
        t.started_at, t.finished_at, t.custom_tags, t.day, t.priority,
        CASE WHEN t.commit_sha IS NOT NULL THEN 'commit ' || t.commit_sha ELSE 'version ' || t.version END AS content,
        ROW_NUMBER() OVER (
            PARTITION BY t.source, t.service, DATE_TRUNC('second', t.started_at)
            ORDER BY t.received_at, t.deployment_id
        ) AS place_in_second
    FROM tellings AS t
    WHERE t.place_of_telling = 1
),
matches AS (
    SELECT
        d.deployment_id,
        w.deployment_id AS duplicate_of,
        ROW_NUMBER() OVER (
            PARTITION BY d.deployment_id
            ORDER BY w.priority, ABS(DATE_DIFF('microsecond', w.finished_at, d.finished_at)), w.finished_at, w.deployment_id
        ) AS place
    FROM told AS d
    CROSS JOIN (SELECT -1 AS days UNION ALL SELECT 0 AS days UNION ALL SELECT 1 AS days) AS near
    INNER JOIN told AS w
        ON w.service = d.service
        AND w.env IS NOT DISTINCT FROM d.env
        AND w.day = d.day + near.days
        AND w.priority < d.priority
        AND ABS(DATE_DIFF('microsecond', w.finished_at, d.finished_at)) <= $merge_window_us
        AND (w.version = d.version OR w.commit_sha = d.commit_sha)
    WHERE d.place_in_second = 1 AND w.place_in_second = 1
),
counted AS (
    SELECT
        t.source, t.deployment_id, t.service, t.env, t.version, t.team, t.repository_id, t.commit_sha,
        t.started_at, t.finished_at, t.custom_tags, t.day, t.content, m.duplicate_of,
        CASE WHEN t.priority IS NULL THEN FALSE ELSE TRUE END AS is_selected,
        -- Selected sources share one history; the others, and duplicates, have one each.
        CASE WHEN m.duplicate_of IS NOT NULL THEN 'duplicates of ' || t.source
             WHEN t.priority IS NULL THEN 'unselected ' || t.source
             ELSE 'selected' END AS history
    FROM told AS t
    LEFT JOIN matches AS m ON t.deployment_id = m.deployment_id AND m.place = 1
    WHERE t.place_in_second = 1
),
looked_back AS (
    SELECT
        c.source, c.deployment_id, c.service, c.env, c.version, c.team, c.repository_id, c.commit_sha,
        c.started_at, c.finished_at, c.custom_tags, c.day, c.content, c.duplicate_of, c.is_selected,
        LAG(c.content) OVER (
            PARTITION BY c.history, c.service, c.env ORDER BY c.finished_at, c.started_at, c.deployment_id
        ) AS previous_content,
        ROW_NUMBER() OVER (
            PARTITION BY c.history, c.service, c.env, c.content ORDER BY c.finished_at, c.started_at, c.deployment_id
        ) AS place_of_content,
        LAST_VALUE(CASE WHEN c.commit_sha IS NOT NULL THEN c.deployment_id END IGNORE NULLS) OVER (
            PARTITION BY c.history, c.service, c.env ORDER BY c.finished_at, c.started_at, c.deployment_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS previous_deployment_id,
        LAST_VALUE(c.commit_sha IGNORE NULLS) OVER (
            PARTITION BY c.history, c.service, c.env ORDER BY c.finished_at, c.started_at, c.deployment_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS previous_commit_sha,
        LAST_VALUE(CASE WHEN c.commit_sha IS NOT NULL THEN c.finished_at END IGNORE NULLS) OVER (
            PARTITION BY c.history, c.service, c.env ORDER BY c.finished_at, c.started_at, c.deployment_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS previous_finished_at
    FROM counted AS c
)
SELECT
    l.deployment_id, l.source, l.service, l.env, l.version,
    COALESCE(l.team, s.team) AS team,
    COALESCE(l.repository_id, s.repository_id) AS repository_id,
    l.commit_sha, l.started_at, l.finished_at,
    CASE WHEN l.content IS NULL THEN 'standard'
         WHEN l.content = l.previous_content THEN 'redeploy'
         WHEN l.place_of_content > 1 THEN 'rollback'
         ELSE 'standard' END AS kind,
    l.custom_tags, l.duplicate_of, l.is_selected,
    CASE WHEN l.duplicate_of IS NULL AND l.commit_sha IS NOT NULL THEN l.previous_deployment_id END AS previous_deployment_id,
    CASE WHEN l.duplicate_of IS NULL AND l.commit_sha IS NOT NULL THEN l.previous_commit_sha END AS previous_commit_sha,
    CASE WHEN l.duplicate_of IS NOT NULL THEN 'duplicate'
         WHEN l.commit_sha IS NULL THEN 'no_commit'
         WHEN l.previous_commit_sha IS NULL THEN 'first_deployment'
         WHEN DATE_DIFF('microsecond', l.previous_finished_at, l.finished_at) > $longest_gap_us THEN 'previous_too_old'
         WHEN COALESCE(l.repository_id, s.repository_id) IS NULL THEN 'no_repository' END AS lead_time_reason,
    COALESCE(s.source_patterns, CAST([] AS VARCHAR[])) AS source_patterns,
    l.day
FROM looked_back AS l
LEFT JOIN core.services AS s ON l.service = s.service
WHERE l.day IN (SELECT r.day FROM run_days AS r)
