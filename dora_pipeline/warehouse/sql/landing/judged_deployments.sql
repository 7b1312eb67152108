-- Deployments by the rules of selection, same second, merging and history, for the services in changed_services from
-- their from_day on. Of what was judged before from_day only the last deployment with a commit is looked back at.
WITH sources AS (
    SELECT
        s.source,
        MIN(s.first_selected_at) AS first_selected_at,
        MAX(CASE WHEN s.is_selected THEN s.priority END) AS priority
    FROM core.source_selections AS s
    WHERE s.event_type = 'deployment'
    GROUP BY s.source
),
-- Two days more than are judged, for what may merge and what decides which whole SHA a short one is; and whatever
-- started in the same second, however long it took.
seconds AS (
    SELECT DISTINCT d.service, DATE_TRUNC('second', d.started_at) AS started_second
    FROM landing.deployments AS d
    INNER JOIN changed_services AS c ON d.service = c.service
    WHERE d.day >= c.from_day - 2
),
events AS (
    SELECT DISTINCT d.source, d.deployment_id
    FROM landing.deployments AS d
    INNER JOIN seconds AS x ON d.service = x.service AND DATE_TRUNC('second', d.started_at) = x.started_second
),
told AS (
    SELECT
        t.source, t.deployment_id, t.service, t.env, t.version, t.team, t.repository_id, t.commit_sha,
        t.started_at, t.finished_at, t.custom_tags, t.change_failure, t.remediation_id, t.remediation_type,
        t.received_at, t.day, s.priority,
        ROW_NUMBER() OVER (
            PARTITION BY t.source, t.service, DATE_TRUNC('second', t.started_at)
            ORDER BY t.received_at, t.deployment_id
        ) AS place_in_second
    FROM landing.deployments AS t
    INNER JOIN events AS e ON t.source = e.source AND t.deployment_id = e.deployment_id
    INNER JOIN sources AS s ON t.source = s.source
    WHERE t.finished_at >= s.first_selected_at
),
-- What selected sources told near each other; `w` may be the one that counts in the place of `d`, or the other way round.
near AS (
    SELECT
        d.deployment_id, d.commit_sha, d.priority, w.deployment_id AS other_id, w.commit_sha AS other_sha,
        w.priority AS other_priority, w.finished_at AS other_finished_at, w.version = d.version AS has_same_version,
        ABS(DATE_DIFF('microsecond', w.finished_at, d.finished_at)) AS apart
    FROM told AS d
    CROSS JOIN (SELECT -1 AS days UNION ALL SELECT 0 AS days UNION ALL SELECT 1 AS days) AS near_by
    INNER JOIN told AS w
        ON w.service = d.service
        AND w.env IS NOT DISTINCT FROM d.env
        AND w.day = d.day + near_by.days
        AND w.priority <> d.priority
        AND ABS(DATE_DIFF('microsecond', w.finished_at, d.finished_at)) <= $merge_window_us
        AND (w.version = d.version OR STARTS_WITH(w.commit_sha, d.commit_sha) OR STARTS_WITH(d.commit_sha, w.commit_sha))
    WHERE d.place_in_second = 1 AND w.place_in_second = 1
),
-- A short SHA stands for one whole SHA only, even where two that are told near it begin alike: the nearest.
whole AS (
    SELECT
        n.deployment_id, n.other_sha AS commit_sha,
        ROW_NUMBER() OVER (
            PARTITION BY n.deployment_id
            ORDER BY
                LENGTH(n.other_sha) DESC, COALESCE(n.has_same_version, FALSE) DESC, n.apart, n.other_priority,
                n.other_finished_at, n.other_id
        ) AS place
    FROM near AS n
    WHERE LENGTH(n.other_sha) > LENGTH(n.commit_sha) AND STARTS_WITH(n.other_sha, n.commit_sha)
),
matches AS (
    SELECT
        n.deployment_id,
        n.other_id AS duplicate_of,
        ROW_NUMBER() OVER (
            PARTITION BY n.deployment_id ORDER BY n.other_priority, n.apart, n.other_finished_at, n.other_id
        ) AS place
    FROM near AS n
    LEFT JOIN whole AS d ON n.deployment_id = d.deployment_id AND d.place = 1
    LEFT JOIN whole AS w ON n.other_id = w.deployment_id AND w.place = 1
    WHERE n.other_priority < n.priority
        AND (
            n.has_same_version
            OR STARTS_WITH(COALESCE(w.commit_sha, n.other_sha), COALESCE(d.commit_sha, n.commit_sha))
            OR STARTS_WITH(COALESCE(d.commit_sha, n.commit_sha), COALESCE(w.commit_sha, n.other_sha))
        )
),
counted AS (
    SELECT
        t.source, t.deployment_id, t.service, t.env, t.version, t.team, t.repository_id, t.commit_sha,
        t.started_at, t.finished_at, t.custom_tags, t.change_failure, t.remediation_id, t.remediation_type,
        t.received_at, t.day, m.duplicate_of,
        CASE WHEN t.priority IS NULL THEN FALSE ELSE TRUE END AS is_selected,
        -- Selected sources share one history; unselected ones, duplicates and rejected ones have their own.
        CASE WHEN t.place_in_second > 1 THEN 'rejected'
             WHEN m.duplicate_of IS NOT NULL THEN 'duplicates of ' || t.source
             WHEN t.priority IS NULL THEN 'unselected ' || t.source
             ELSE 'selected' END AS history
    FROM told AS t
    INNER JOIN changed_services AS c ON t.service = c.service
    LEFT JOIN matches AS m ON t.deployment_id = m.deployment_id AND m.place = 1
    WHERE t.day >= c.from_day
),
earlier AS (
    SELECT j.deployment_id, j.service, j.env, j.commit_sha, j.started_at, j.finished_at, j.history
    FROM landing.judged_deployments AS j
    INNER JOIN changed_services AS c ON j.service = c.service
    WHERE j.day < c.from_day AND j.commit_sha IS NOT NULL
),
chain AS (
    SELECT c.deployment_id, c.service, c.env, c.commit_sha, c.started_at, c.finished_at, c.history FROM counted AS c
    UNION ALL
    SELECT e.deployment_id, e.service, e.env, e.commit_sha, e.started_at, e.finished_at, e.history
    FROM earlier AS e
    INNER JOIN (
        SELECT x.history, x.service, x.env, MAX(x.finished_at) AS last_at
        FROM earlier AS x
        GROUP BY x.history, x.service, x.env
    ) AS l
        ON e.history = l.history AND e.service = l.service AND e.env IS NOT DISTINCT FROM l.env AND e.finished_at = l.last_at
),
looked_back AS (
    SELECT
        c.deployment_id, c.history,
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
    FROM chain AS c
)
SELECT
    c.deployment_id, c.source, c.service, c.env, c.version, c.team, c.repository_id, c.commit_sha,
    c.started_at, c.finished_at, c.custom_tags, c.change_failure, c.remediation_id, c.remediation_type,
    c.received_at, c.history, c.duplicate_of, c.is_selected,
    CASE WHEN c.duplicate_of IS NULL AND c.commit_sha IS NOT NULL THEN l.previous_deployment_id END AS previous_deployment_id,
    CASE WHEN c.duplicate_of IS NULL AND c.commit_sha IS NOT NULL THEN l.previous_commit_sha END AS previous_commit_sha,
    CASE WHEN c.duplicate_of IS NOT NULL THEN 'duplicate'
         WHEN c.commit_sha IS NULL THEN 'no_commit'
         WHEN l.previous_commit_sha IS NULL THEN 'first_deployment'
         WHEN DATE_DIFF('microsecond', l.previous_finished_at, c.finished_at) > $longest_gap_us THEN 'previous_too_old'
         END AS lead_time_reason,
    c.day
FROM counted AS c
INNER JOIN looked_back AS l ON c.deployment_id = l.deployment_id AND c.history = l.history
