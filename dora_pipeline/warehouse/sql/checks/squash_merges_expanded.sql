-- Repositories with squash commits in ranges of deployments, and how many of them count themselves since the repository
-- has no ref of their pull or merge request; over all days and over those of deployments since $recent_day.
WITH ranges AS (
    SELECT c.range_id, c.repository_id, c.unexpanded, MAX(d.day) AS day
    FROM landing.commit_ranges AS c
    JOIN landing.deployment_ranges AS d ON c.range_id = d.range_id
    WHERE c.squash_merges > 0
    GROUP BY c.range_id, c.repository_id, c.unexpanded
),
squash AS (
    SELECT r.repository_id, k.commit_sha, FALSE AS is_unexpanded, r.day
    FROM ranges AS r
    INNER JOIN landing.range_commits AS k ON r.range_id = k.range_id
    WHERE k.landed_as_sha = k.commit_sha
    UNION ALL
    SELECT r.repository_id, UNNEST(r.unexpanded) AS commit_sha, TRUE AS is_unexpanded, r.day
    FROM ranges AS r
),
counted AS (
    SELECT DISTINCT p.period, p.place, s.repository_id, s.commit_sha, s.is_unexpanded
    FROM squash AS s
    JOIN (
        SELECT 'all days' AS period, 1 AS place, NULL AS first_day
        UNION ALL
        SELECT 'last 30 days' AS period, 2 AS place, CAST($recent_day AS DATE) AS first_day
    ) AS p ON p.first_day IS NULL OR s.day >= p.first_day
)
SELECT
    c.period, c.repository_id,
    COUNT(CASE WHEN c.is_unexpanded THEN 1 END) AS unexpanded,
    COUNT(*) AS squash_merges,
    CAST(COUNT(CASE WHEN c.is_unexpanded THEN 1 END) AS DOUBLE) / COUNT(*) AS share,
    MIN(CASE WHEN c.is_unexpanded THEN c.commit_sha END) AS commit_sha
FROM counted AS c
GROUP BY c.period, c.place, c.repository_id
HAVING COUNT(CASE WHEN c.is_unexpanded THEN 1 END) > 0
ORDER BY c.place, unexpanded DESC, c.repository_id
