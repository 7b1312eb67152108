-- Deployments inferred from sightings, for the services and environments in changed_pairs from their from_day on.
-- A version is deployed when it is seen for the first time, and again when it comes back after the quiet gap and
-- another version was seen since. What was seen before from_day is one span a version: only its last moment matters.
WITH pairs AS (
    SELECT p.service, p.env, p.from_day, ROW_NUMBER() OVER (ORDER BY p.service, p.env) AS pair
    FROM changed_pairs AS p
),
recent AS (
    SELECT p.pair, a.version, COUNT(*) AS times
    FROM landing.version_activity AS a
    INNER JOIN pairs AS p ON a.service = p.service AND a.env IS NOT DISTINCT FROM p.env AND a.day >= p.from_day
    GROUP BY p.pair, a.version
),
-- What was seen before counts only for versions that are seen again; of others of such a name it leads to nothing.
earlier AS (
    SELECT p.pair, a.version, MIN(a.first_seen_at) AS first_seen_at, MAX(a.last_seen_at) AS last_seen_at
    FROM landing.version_activity AS a
    INNER JOIN pairs AS p ON a.service = p.service AND a.env IS NOT DISTINCT FROM p.env AND a.day < p.from_day
    WHERE a.version IN (SELECT r.version FROM recent AS r)
    GROUP BY p.pair, a.version
),
-- Only what was seen in several spans can have come back, or be named by a later sighting.
repeated AS (
    SELECT r.pair, r.version FROM recent AS r WHERE r.times > 1
    UNION
    SELECT e.pair, e.version FROM earlier AS e
),
spans AS (
    SELECT
        e.pair, e.version, e.first_seen_at, e.last_seen_at,
        CAST(NULL AS VARCHAR) AS commit_sha, CAST(NULL AS VARCHAR) AS repository_id, CAST(NULL AS VARCHAR) AS team,
        CAST(NULL AS DATE) AS day
    FROM earlier AS e
    UNION ALL
    SELECT
        p.pair, a.version, a.first_seen_at, MAX(a.last_seen_at) AS last_seen_at,
        MIN(a.commit_sha) AS commit_sha, MIN(a.repository_id) AS repository_id, MIN(a.team) AS team, MIN(a.day) AS day
    FROM landing.version_activity AS a
    INNER JOIN pairs AS p ON a.service = p.service AND a.env IS NOT DISTINCT FROM p.env AND a.day >= p.from_day
    INNER JOIN repeated AS x ON p.pair = x.pair AND a.version = x.version
    GROUP BY p.pair, a.version, a.first_seen_at
),
looked_back AS (
    SELECT
        s.pair, s.version, s.first_seen_at, s.day,
        -- The commit may be named by a later sighting of the day only.
        FIRST_VALUE(s.commit_sha IGNORE NULLS) OVER (
            PARTITION BY s.pair, s.version, s.day ORDER BY s.first_seen_at
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS commit_sha,
        FIRST_VALUE(s.repository_id IGNORE NULLS) OVER (
            PARTITION BY s.pair, s.version, s.day ORDER BY s.first_seen_at
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS repository_id,
        FIRST_VALUE(s.team IGNORE NULLS) OVER (
            PARTITION BY s.pair, s.version, s.day ORDER BY s.first_seen_at
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS team,
        MAX(s.last_seen_at) OVER (
            PARTITION BY s.pair, s.version ORDER BY s.first_seen_at
            RANGE BETWEEN UNBOUNDED PRECEDING AND INTERVAL '1 microsecond' PRECEDING
        ) AS seen_until
    FROM spans AS s
),
returned AS (
    SELECT b.pair, b.version, b.first_seen_at, b.day, b.commit_sha, b.repository_id, b.team, b.seen_until
    FROM looked_back AS b
    WHERE b.day IS NOT NULL AND DATE_DIFF('microsecond', b.seen_until, b.first_seen_at) > $quiet_gap_us
),
any_seen AS (
    SELECT DISTINCT
        p.pair, a.version, a.first_seen_at,
        MAX(a.last_seen_at) OVER (
            PARTITION BY p.pair ORDER BY a.first_seen_at
            RANGE BETWEEN UNBOUNDED PRECEDING AND INTERVAL '1 microsecond' PRECEDING
        ) AS seen_until
    FROM landing.version_activity AS a
    INNER JOIN pairs AS p ON a.service = p.service AND a.env IS NOT DISTINCT FROM p.env
    WHERE p.pair IN (SELECT r.pair FROM returned AS r)
),
deployed AS (
    -- Most versions are seen in one span, which is taken as it is.
    SELECT p.pair, a.version, a.first_seen_at, a.day, a.commit_sha, a.repository_id, a.team
    FROM landing.version_activity AS a
    INNER JOIN pairs AS p ON a.service = p.service AND a.env IS NOT DISTINCT FROM p.env
    LEFT JOIN repeated AS x ON p.pair = x.pair AND a.version = x.version
    WHERE x.pair IS NULL AND a.day >= p.from_day
    UNION ALL
    SELECT b.pair, b.version, b.first_seen_at, b.day, b.commit_sha, b.repository_id, b.team
    FROM looked_back AS b
    WHERE b.seen_until IS NULL AND b.day IS NOT NULL
    UNION ALL
    SELECT r.pair, r.version, r.first_seen_at, r.day, r.commit_sha, r.repository_id, r.team
    FROM returned AS r
    INNER JOIN any_seen AS o ON r.pair = o.pair AND r.version = o.version AND r.first_seen_at = o.first_seen_at
    WHERE o.seen_until > r.seen_until
)
SELECT
    'apm_deployment_tracking' AS source,
    'apm:' || MD5(CONCAT_WS(CHR(31), p.service, COALESCE(p.env, CHR(30)), l.version, CAST(EPOCH_US(l.first_seen_at) AS VARCHAR))) AS deployment_id,
    p.service, p.env, l.version, l.team, l.repository_id, l.commit_sha,
    l.first_seen_at AS started_at,
    l.first_seen_at AS finished_at,
    CAST([] AS VARCHAR[]) AS custom_tags,
    CAST(NULL AS BOOLEAN) AS change_failure,
    CAST(NULL AS VARCHAR) AS remediation_id,
    CAST(NULL AS VARCHAR) AS remediation_type,
    l.first_seen_at AS received_at,
    CAST(NULL AS VARCHAR) AS input,
    l.day
FROM deployed AS l
INNER JOIN pairs AS p ON l.pair = p.pair
-- A ready event of the same version is the same deployment.
LEFT JOIN landing.deployments AS e
    ON e.source = 'apm_deployment_tracking' AND e.input IS NOT NULL
    AND e.service = p.service AND e.env IS NOT DISTINCT FROM p.env AND e.version = l.version
    AND ABS(DATE_DIFF('microsecond', e.started_at, l.first_seen_at)) <= $merge_window_us
WHERE e.source IS NULL
