-- Deployments inferred from sightings, for the services and environments in changed_pairs from their from_day on.
-- A version is deployed when it is seen for the first time, and again when it comes back after the quiet gap and
-- another version was seen since. What was seen before from_day is one span a version: only its last moment matters.
WITH spans AS (
    SELECT
        a.service, a.env, a.version, MIN(a.first_seen_at) AS first_seen_at, MAX(a.last_seen_at) AS last_seen_at,
        CAST(NULL AS VARCHAR) AS commit_sha, CAST(NULL AS VARCHAR) AS repository_id, CAST(NULL AS VARCHAR) AS team,
        CAST(NULL AS DATE) AS day
    FROM landing.version_activity AS a
    INNER JOIN changed_pairs AS p ON a.service = p.service AND a.env IS NOT DISTINCT FROM p.env
    WHERE a.day < p.from_day
    GROUP BY a.service, a.env, a.version
    UNION ALL
    SELECT
        a.service, a.env, a.version, a.first_seen_at, MAX(a.last_seen_at) AS last_seen_at,
        MIN(a.commit_sha) AS commit_sha, MIN(a.repository_id) AS repository_id, MIN(a.team) AS team, MIN(a.day) AS day
    FROM landing.version_activity AS a
    INNER JOIN changed_pairs AS p ON a.service = p.service AND a.env IS NOT DISTINCT FROM p.env
    WHERE a.day >= p.from_day
    GROUP BY a.service, a.env, a.version, a.first_seen_at
),
looked_back AS (
    SELECT
        s.service, s.env, s.version, s.first_seen_at, s.day,
        -- The commit may be named by a later sighting of the day only.
        FIRST_VALUE(s.commit_sha IGNORE NULLS) OVER (
            PARTITION BY s.service, s.env, s.version, s.day ORDER BY s.first_seen_at
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS commit_sha,
        FIRST_VALUE(s.repository_id IGNORE NULLS) OVER (
            PARTITION BY s.service, s.env, s.version, s.day ORDER BY s.first_seen_at
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS repository_id,
        FIRST_VALUE(s.team IGNORE NULLS) OVER (
            PARTITION BY s.service, s.env, s.version, s.day ORDER BY s.first_seen_at
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS team,
        MAX(s.last_seen_at) OVER (
            PARTITION BY s.service, s.env, s.version ORDER BY s.first_seen_at
            RANGE BETWEEN UNBOUNDED PRECEDING AND INTERVAL '1 microsecond' PRECEDING
        ) AS version_seen_until,
        MAX(s.last_seen_at) OVER (
            PARTITION BY s.service, s.env ORDER BY s.first_seen_at
            RANGE BETWEEN UNBOUNDED PRECEDING AND INTERVAL '1 microsecond' PRECEDING
        ) AS any_seen_until
    FROM spans AS s
)
SELECT
    'apm_deployment_tracking' AS source,
    'apm:' || MD5(CONCAT_WS(CHR(31), l.service, COALESCE(l.env, CHR(30)), l.version, CAST(EPOCH_US(l.first_seen_at) AS VARCHAR))) AS deployment_id,
    l.service, l.env, l.version, l.team, l.repository_id, l.commit_sha,
    l.first_seen_at AS started_at,
    l.first_seen_at AS finished_at,
    CAST([] AS VARCHAR[]) AS custom_tags,
    CAST(NULL AS BOOLEAN) AS change_failure,
    CAST(NULL AS VARCHAR) AS remediation_id,
    CAST(NULL AS VARCHAR) AS remediation_type,
    l.first_seen_at AS received_at,
    CAST(NULL AS VARCHAR) AS input,
    l.day
FROM looked_back AS l
WHERE l.day IS NOT NULL
    AND (
        l.version_seen_until IS NULL
        OR (
            DATE_DIFF('microsecond', l.version_seen_until, l.first_seen_at) > $quiet_gap_us
            AND l.any_seen_until > l.version_seen_until
        )
    )
    -- A ready event of the same version is the same deployment.
    AND NOT EXISTS (
        SELECT 1 FROM landing.deployments AS e
        WHERE e.source = 'apm_deployment_tracking' AND e.input IS NOT NULL
            AND e.service = l.service AND e.env IS NOT DISTINCT FROM l.env AND e.version = l.version
            AND ABS(DATE_DIFF('microsecond', e.started_at, l.first_seen_at)) <= $merge_window_us
    )
