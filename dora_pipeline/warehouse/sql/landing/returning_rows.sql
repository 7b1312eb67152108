-- The chains in returning_chains, in their order: what was judged before, from the moment that each has to be known from,
-- with what failed by it where it is a rollback, and what is to be judged.
SELECT
    x.chain, x.deployment_id, x.content, x.is_behind, x.repository_id, x.commit_sha, x.is_judged, x.failed_id
FROM (
    SELECT
        r.chain, j.deployment_id, FALSE AS is_behind, k.repository_id, k.commit_sha, TRUE AS is_judged, s.failed_id,
        CASE WHEN j.commit_sha IS NOT NULL THEN 'commit ' || COALESCE(k.commit_sha, j.commit_sha)
             ELSE 'version ' || j.version END AS content,
        j.finished_at, j.started_at
    FROM landing.judged_deployments AS j
    INNER JOIN waiting_services AS w ON j.service = w.service AND j.day < w.from_day
    INNER JOIN (
        SELECT DISTINCT x.chain, x.known_from, c.history, c.service, c.env
        FROM returning_chains AS x
        INNER JOIN chains AS c ON x.chain = c.chain
    ) AS r
        ON j.history = r.history AND j.service = r.service AND j.env IS NOT DISTINCT FROM r.env AND j.finished_at >= r.known_from
    LEFT JOIN landing.deployment_ranges AS k ON j.deployment_id = k.deployment_id
    LEFT JOIN landing.change_signs AS s ON j.deployment_id = s.deployment_id AND s.way = 'rollback'
    WHERE j.duplicate_of IS NULL
    UNION ALL
    SELECT
        c.chain, c.deployment_id, c.is_behind, c.repository_id, c.commit_sha, FALSE AS is_judged, NULL AS failed_id,
        c.content, c.finished_at, c.started_at
    FROM chains AS c
    WHERE c.chain IN (SELECT r.chain FROM returning_chains AS r)
) AS x
ORDER BY x.chain, x.finished_at, x.started_at, x.deployment_id
