-- The chains in returning_chains, in their order, as far as rollbacks depend on them: what was judged before, from the moment
-- that each has to be known from, with what failed by it where it is a rollback, and of what is to be judged what returns
-- and what follows on that; all of it where something may be gone back to that was never deployed.
SELECT
    x.chain, x.deployment_id, x.content, x.previous_content, x.is_behind, k.repository_id, k.commit_sha, x.is_judged, x.failed_id
FROM (
    SELECT
        n.chain, j.deployment_id, FALSE AS is_behind, TRUE AS is_judged, s.failed_id,
        CASE WHEN j.commit_sha IS NOT NULL THEN 'commit ' || COALESCE(y.commit_sha, j.commit_sha)
             ELSE 'version ' || j.version END AS content,
        CAST(NULL AS VARCHAR) AS previous_content, j.finished_at, j.started_at
    FROM landing.judged_deployments AS j
    INNER JOIN waiting_services AS w ON j.service = w.service AND j.day < w.from_day
    INNER JOIN chain_names AS n ON j.history = n.history AND j.service = n.service AND j.env IS NOT DISTINCT FROM n.env
    INNER JOIN returning_chains AS r ON n.chain = r.chain AND j.finished_at >= r.known_from
    LEFT JOIN landing.deployment_ranges AS y ON j.deployment_id = y.deployment_id
    LEFT JOIN landing.change_signs AS s ON j.deployment_id = s.deployment_id AND s.way = 'rollback'
    WHERE j.duplicate_of IS NULL
    UNION ALL
    SELECT
        c.chain, c.deployment_id, c.is_behind, FALSE AS is_judged, NULL AS failed_id, c.content, c.previous_content,
        c.finished_at, c.started_at
    FROM chains AS c
    WHERE c.chain IN (SELECT r.chain FROM returning_chains AS r WHERE r.has_behind)
        OR (c.chain, c.content) IN (SELECT (r.chain, r.content) FROM returning_contents AS r)
        OR (c.chain, c.previous_content) IN (SELECT (r.chain, r.content) FROM returning_contents AS r)
) AS x
LEFT JOIN landing.deployment_ranges AS k ON x.deployment_id = k.deployment_id
ORDER BY x.chain, x.finished_at, x.started_at, x.deployment_id
