-- Repositories with squash commits in ranges of deployments, and how many of them count themselves since the repository
-- has no ref of their pull or merge request.
WITH ranges AS (
    SELECT c.range_id, c.repository_id, c.unexpanded
    FROM landing.commit_ranges AS c
    WHERE c.squash_merges > 0 AND c.range_id IN (SELECT d.range_id FROM landing.deployment_ranges AS d)
),
squash AS (
    SELECT r.repository_id, k.commit_sha, FALSE AS is_unexpanded
    FROM ranges AS r
    INNER JOIN landing.range_commits AS k ON r.range_id = k.range_id
    WHERE k.landed_as_sha = k.commit_sha
    UNION
    SELECT r.repository_id, UNNEST(r.unexpanded) AS commit_sha, TRUE AS is_unexpanded
    FROM ranges AS r
)
SELECT
    s.repository_id,
    COUNT(CASE WHEN s.is_unexpanded THEN 1 END) AS unexpanded,
    COUNT(*) AS squash_merges,
    CAST(COUNT(CASE WHEN s.is_unexpanded THEN 1 END) AS DOUBLE) / COUNT(*) AS share,
    MIN(CASE WHEN s.is_unexpanded THEN s.commit_sha END) AS commit_sha
FROM squash AS s
GROUP BY s.repository_id
HAVING COUNT(CASE WHEN s.is_unexpanded THEN 1 END) > 0
ORDER BY unexpanded DESC, s.repository_id
