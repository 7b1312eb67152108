-- Deployments by the rules of selection, same second, merging and history, for the services in changed_services from
-- their from_day on. Of what was judged before from_day only the last deployment with a commit is looked back at.
-- Verdicts are found over few columns, and only where there is something to find; whole rows are read once, at the end.
WITH services AS (
    SELECT c.service, c.from_day, ROW_NUMBER() OVER (ORDER BY c.service) AS service_number
    FROM changed_services AS c
),
sources AS (
    SELECT
        x.source, x.first_selected_at, x.priority, ROW_NUMBER() OVER (ORDER BY x.source) AS source_number,
        -- Selected sources share one history; unselected ones, duplicates and rejected ones have their own.
        CASE WHEN x.priority IS NULL THEN 'unselected ' || x.source ELSE 'selected' END AS history
    FROM (
        SELECT
            s.source, MIN(s.first_selected_at) AS first_selected_at,
            MAX(CASE WHEN s.is_selected THEN s.priority END) AS priority
        FROM core.source_selections AS s
        WHERE s.event_type = 'deployment'
        GROUP BY s.source
    ) AS x
),
-- Two days more than are judged, for what may merge and what decides which whole SHA a short one is; and whatever
-- started in the same second, however long it took. No day but theirs is before $looked_at_from, which leaves most of the
-- history out while the table is read.
looked_at AS (
    SELECT
        d.deployment_id, d.source, d.env, d.version, d.commit_sha, d.started_at, d.finished_at, d.received_at, d.day,
        EPOCH_US(d.started_at) // 1000000 AS started_second, d.service, c.service_number, c.from_day
    FROM landing.deployments AS d
    INNER JOIN services AS c ON d.service = c.service
    WHERE d.day >= $looked_at_from AND d.day >= c.from_day - 2
),
started_with AS (
    SELECT DISTINCT l.service, l.service_number, l.from_day, l.started_second
    FROM looked_at AS l
    -- A day of any time zone is that of UTC or one beside it.
    WHERE CAST(l.started_at AS DATE) <= l.from_day - 2
),
told AS NOT MATERIALIZED (
    SELECT
        x.deployment_id, x.env, x.version, x.commit_sha, x.started_at, x.finished_at, x.received_at, x.day, x.started_second,
        x.service_number, x.from_day, s.source_number, s.source, s.priority, s.history
    FROM (
        SELECT
            l.deployment_id, l.source, l.env, l.version, l.commit_sha, l.started_at, l.finished_at, l.received_at, l.day,
            l.started_second, l.service_number, l.from_day
        FROM looked_at AS l
        UNION ALL
        SELECT
            d.deployment_id, d.source, d.env, d.version, d.commit_sha, d.started_at, d.finished_at, d.received_at, d.day,
            w.started_second, w.service_number, w.from_day
        FROM landing.deployments AS d
        INNER JOIN started_with AS w ON d.service = w.service AND EPOCH_US(d.started_at) // 1000000 = w.started_second
        WHERE d.day < w.from_day - 2
    ) AS x
    INNER JOIN sources AS s ON x.source = s.source
    WHERE x.finished_at >= s.first_selected_at
),
crowded AS (
    SELECT t.source_number, t.service_number, t.started_second
    FROM told AS t
    GROUP BY t.source_number, t.service_number, t.started_second
    HAVING COUNT(*) > 1
),
rejected AS (
    SELECT x.deployment_id
    FROM (
        SELECT
            t.deployment_id,
            ROW_NUMBER() OVER (
                PARTITION BY t.source_number, t.service_number, t.started_second ORDER BY t.received_at, t.deployment_id
            ) AS place
        FROM told AS t
        INNER JOIN crowded AS c
            ON t.source_number = c.source_number AND t.service_number = c.service_number AND t.started_second = c.started_second
    ) AS x
    WHERE x.place > 1
),
-- What selected sources told, in slots of time: what may merge lies in the same one, or in one beside it.
placed AS (
    SELECT
        t.deployment_id, t.source, t.service_number, t.env, t.version, t.commit_sha, t.finished_at, t.priority,
        EPOCH_US(t.finished_at) // ($merge_window_us + 1) AS slot,
        t.priority > p.first_one AS has_higher, t.priority < p.last_one AS has_lower
    FROM told AS t
    INNER JOIN (SELECT MIN(s.priority) AS first_one, MAX(s.priority) AS last_one FROM sources AS s) AS p
        ON p.first_one < p.last_one
    LEFT JOIN rejected AS r ON t.deployment_id = r.deployment_id
    WHERE t.priority IS NOT NULL AND r.deployment_id IS NULL
),
lower_ones AS (
    SELECT p.*, p.slot + n.slots AS near_slot
    FROM placed AS p
    CROSS JOIN (SELECT -1 AS slots UNION ALL SELECT 0 AS slots UNION ALL SELECT 1 AS slots) AS n
    WHERE p.has_higher
),
-- What selected sources told near each other: `w` may be the one that counts in the place of `d`.
near AS (
    SELECT
        d.deployment_id, d.source, d.commit_sha, d.priority, d.finished_at,
        w.deployment_id AS other_id, w.commit_sha AS other_sha, w.priority AS other_priority, w.finished_at AS other_finished_at,
        w.version = d.version AS has_same_version,
        ABS(DATE_DIFF('microsecond', w.finished_at, d.finished_at)) AS apart
    FROM lower_ones AS d
    INNER JOIN placed AS w
        ON w.service_number = d.service_number
        AND w.env IS NOT DISTINCT FROM d.env
        AND w.slot = d.near_slot
        AND w.priority < d.priority
        AND ABS(DATE_DIFF('microsecond', w.finished_at, d.finished_at)) <= $merge_window_us
        AND (w.version = d.version OR STARTS_WITH(w.commit_sha, d.commit_sha) OR STARTS_WITH(d.commit_sha, w.commit_sha))
    WHERE w.has_lower
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
    FROM (
        SELECT
            x.deployment_id, x.commit_sha, x.other_id, x.other_sha, x.other_priority, x.other_finished_at,
            x.has_same_version, x.apart
        FROM near AS x
        UNION ALL
        SELECT
            x.other_id, x.other_sha, x.deployment_id, x.commit_sha, x.priority, x.finished_at,
            x.has_same_version, x.apart
        FROM near AS x
    ) AS n
    WHERE LENGTH(n.other_sha) > LENGTH(n.commit_sha) AND STARTS_WITH(n.other_sha, n.commit_sha)
),
matches AS (
    SELECT
        n.deployment_id, n.source, n.other_id,
        ROW_NUMBER() OVER (
            PARTITION BY n.deployment_id ORDER BY n.other_priority, n.apart, n.other_finished_at, n.other_id
        ) AS place
    FROM near AS n
    LEFT JOIN whole AS d ON n.deployment_id = d.deployment_id AND d.place = 1
    LEFT JOIN whole AS w ON n.other_id = w.deployment_id AND w.place = 1
    WHERE n.has_same_version
        OR STARTS_WITH(COALESCE(w.commit_sha, n.other_sha), COALESCE(d.commit_sha, n.commit_sha))
        OR STARTS_WITH(COALESCE(d.commit_sha, n.commit_sha), COALESCE(w.commit_sha, n.other_sha))
),
set_apart AS (
    SELECT m.deployment_id, m.other_id AS duplicate_of, 'duplicates of ' || m.source AS history
    FROM matches AS m
    WHERE m.place = 1
    UNION ALL
    SELECT r.deployment_id, CAST(NULL AS VARCHAR) AS duplicate_of, 'rejected' AS history
    FROM rejected AS r
),
earlier AS (
    SELECT j.deployment_id, c.service_number, j.env, j.commit_sha, j.started_at, j.finished_at, j.history
    FROM landing.judged_deployments AS j
    INNER JOIN services AS c ON j.service = c.service
    WHERE j.day < c.from_day AND j.commit_sha IS NOT NULL AND j.duplicate_of IS NULL
),
-- Those with a commit, which alone look back and are looked back at; duplicates are not.
chain AS (
    SELECT
        t.deployment_id, t.service_number, t.env, t.commit_sha, t.started_at, t.finished_at,
        COALESCE(a.history, t.history) AS history
    FROM told AS t
    LEFT JOIN set_apart AS a ON t.deployment_id = a.deployment_id
    WHERE t.day >= t.from_day AND t.commit_sha IS NOT NULL AND a.duplicate_of IS NULL
    UNION ALL
    SELECT e.deployment_id, e.service_number, e.env, e.commit_sha, e.started_at, e.finished_at, e.history
    FROM earlier AS e
    INNER JOIN (
        SELECT x.history, x.service_number, x.env, MAX(x.finished_at) AS last_at
        FROM earlier AS x
        GROUP BY x.history, x.service_number, x.env
    ) AS l
        ON e.history = l.history AND e.service_number = l.service_number AND e.env IS NOT DISTINCT FROM l.env
        AND e.finished_at = l.last_at
),
looked_back AS (
    SELECT
        c.deployment_id,
        LAG(c.deployment_id) OVER (
            PARTITION BY c.history, c.service_number, c.env ORDER BY c.finished_at, c.started_at, c.deployment_id
        ) AS previous_deployment_id,
        LAG(c.commit_sha) OVER (
            PARTITION BY c.history, c.service_number, c.env ORDER BY c.finished_at, c.started_at, c.deployment_id
        ) AS previous_commit_sha,
        LAG(c.finished_at) OVER (
            PARTITION BY c.history, c.service_number, c.env ORDER BY c.finished_at, c.started_at, c.deployment_id
        ) AS previous_finished_at
    FROM chain AS c
)
SELECT
    d.deployment_id, d.source, d.service, d.env, d.version, d.team, d.repository_id, d.commit_sha,
    d.started_at, d.finished_at, d.custom_tags, d.change_failure, d.remediation_id, d.remediation_type,
    d.received_at, COALESCE(a.history, s.history) AS history, a.duplicate_of,
    CASE WHEN s.priority IS NULL THEN FALSE ELSE TRUE END AS is_selected,
    l.previous_deployment_id, l.previous_commit_sha,
    CASE WHEN a.duplicate_of IS NOT NULL THEN 'duplicate'
         WHEN d.commit_sha IS NULL THEN 'no_commit'
         WHEN l.previous_commit_sha IS NULL THEN 'first_deployment'
         WHEN DATE_DIFF('microsecond', l.previous_finished_at, d.finished_at) > $longest_gap_us THEN 'previous_too_old'
         END AS lead_time_reason,
    d.day
FROM landing.deployments AS d
INNER JOIN changed_services AS c ON d.service = c.service
INNER JOIN sources AS s ON d.source = s.source
LEFT JOIN set_apart AS a ON d.deployment_id = a.deployment_id
LEFT JOIN looked_back AS l ON d.deployment_id = l.deployment_id
WHERE d.day >= $looked_at_from AND d.day >= c.from_day AND d.finished_at >= s.first_selected_at
