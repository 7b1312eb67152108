-- core.apm_version_activity for the days in run_days: the sightings of all inputs together, as spans that are cut
-- where a version was quiet for longer than the quiet gap. Those of one input have been cut so: the spans of a day that
-- is told by one are taken as they are, and so is that of a version which is seen in one.
WITH shared_days AS (
    SELECT a.day FROM landing.version_activity AS a
    WHERE a.day IN (SELECT r.day FROM run_days AS r)
    GROUP BY a.day HAVING MIN(a.input) <> MAX(a.input)
),
-- What was seen before the source was first selected serves to judge later sightings, and stays in landing.
selected AS (
    SELECT MIN(s.first_selected_at) AS since FROM core.source_selections AS s WHERE s.source = 'apm_deployment_tracking'
),
sightings AS (
    SELECT
        a.service, a.env, a.version, a.first_seen_at, a.last_seen_at, a.commit_sha, a.repository_id, a.team, a.sightings,
        a.day, a.input
    FROM landing.version_activity AS a
    WHERE a.day IN (SELECT x.day FROM shared_days AS x) AND a.last_seen_at >= (SELECT f.since FROM selected AS f)
),
grouped AS (
    SELECT
        s.service, s.env, s.version, s.day, COUNT(*) AS spans,
        MIN(s.first_seen_at) AS first_seen_at, MIN(s.last_seen_at) AS last_seen_at, MIN(s.commit_sha) AS commit_sha,
        MIN(s.repository_id) AS repository_id, MIN(s.team) AS team, MIN(s.sightings) AS sightings
    FROM sightings AS s
    GROUP BY s.service, s.env, s.version, s.day
),
several AS (
    SELECT
        s.service, s.env, s.version, s.first_seen_at, s.last_seen_at, s.commit_sha, s.repository_id, s.team, s.sightings, s.day,
        MAX(s.last_seen_at) OVER (
            PARTITION BY s.service, s.env, s.version, s.day
            ORDER BY s.first_seen_at, s.last_seen_at, s.input
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS seen_until
    FROM sightings AS s
    INNER JOIN grouped AS g
        ON s.service = g.service AND s.env IS NOT DISTINCT FROM g.env AND s.version = g.version AND s.day = g.day
    WHERE g.spans > 1
),
cut AS (
    SELECT
        t.service, t.env, t.version, t.first_seen_at, t.last_seen_at, t.commit_sha, t.repository_id, t.team, t.sightings, t.day,
        SUM(
            CASE WHEN t.seen_until IS NULL THEN 1
                 WHEN DATE_DIFF('microsecond', t.seen_until, t.first_seen_at) > $quiet_gap_us THEN 1
                 ELSE 0 END
        ) OVER (
            PARTITION BY t.service, t.env, t.version, t.day
            ORDER BY t.first_seen_at, t.last_seen_at
            RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS span
    FROM several AS t
)
SELECT
    a.service, a.env, a.version, a.first_seen_at, a.last_seen_at, a.commit_sha, a.repository_id, a.team, a.sightings, a.day
FROM landing.version_activity AS a
LEFT JOIN shared_days AS x ON a.day = x.day
WHERE x.day IS NULL AND a.day IN (SELECT r.day FROM run_days AS r)
    AND a.last_seen_at >= (SELECT f.since FROM selected AS f)
UNION ALL
SELECT
    g.service, g.env, g.version, g.first_seen_at, g.last_seen_at, g.commit_sha, g.repository_id, g.team, g.sightings, g.day
FROM grouped AS g
WHERE g.spans = 1
UNION ALL
SELECT
    c.service, c.env, c.version,
    MIN(c.first_seen_at) AS first_seen_at,
    MAX(c.last_seen_at) AS last_seen_at,
    MIN_BY(c.commit_sha, ROW(c.first_seen_at, c.commit_sha)) FILTER (WHERE c.commit_sha IS NOT NULL) AS commit_sha,
    MIN_BY(c.repository_id, ROW(c.first_seen_at, c.repository_id)) FILTER (WHERE c.repository_id IS NOT NULL) AS repository_id,
    MIN_BY(c.team, ROW(c.first_seen_at, c.team)) FILTER (WHERE c.team IS NOT NULL) AS team,
    CAST(SUM(c.sightings) AS BIGINT) AS sightings,
    c.day
FROM cut AS c
GROUP BY c.service, c.env, c.version, c.day, c.span
