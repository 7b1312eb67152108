-- What went live in the chains of chain_names, in the order of going live, each with the one right before it. What went live
-- is the commit, a short SHA as the whole one that the repository knows, else the version. What is long and seldom asked for
-- is read where the few that ask for it are known.
WITH last_ones AS (
    -- Of what was judged before only the last of each chain is looked back at.
    SELECT n.chain, MAX(j.finished_at) AS last_at
    FROM landing.judged_deployments AS j
    INNER JOIN waiting_services AS w ON j.service = w.service AND j.day < w.from_day
    INNER JOIN chain_names AS n ON j.history = n.history AND j.service = n.service AND j.env IS NOT DISTINCT FROM n.env
    WHERE j.duplicate_of IS NULL
    GROUP BY n.chain
),
-- Apart, since by one number most rows are left out while the table is read.
ended_then AS MATERIALIZED (
    SELECT j.history, j.service, j.env, j.deployment_id, j.version, j.commit_sha, j.started_at, j.finished_at, j.day
    FROM landing.judged_deployments AS j
    WHERE j.duplicate_of IS NULL AND j.finished_at IN (SELECT l.last_at FROM last_ones AS l)
),
judged AS (
    SELECT
        n.chain, j.deployment_id, j.version, j.commit_sha, j.started_at, j.finished_at, j.day, FALSE AS is_earlier
    FROM landing.judged_deployments AS j
    INNER JOIN waiting_services AS w ON j.service = w.service AND j.day >= w.from_day
    INNER JOIN chain_names AS n ON j.history = n.history AND j.service = n.service AND j.env IS NOT DISTINCT FROM n.env
    WHERE j.duplicate_of IS NULL
    UNION ALL
    SELECT
        n.chain, e.deployment_id, e.version, e.commit_sha, e.started_at, e.finished_at, e.day, TRUE AS is_earlier
    FROM ended_then AS e
    INNER JOIN chain_names AS n ON e.history = n.history AND e.service = n.service AND e.env IS NOT DISTINCT FROM n.env
    INNER JOIN last_ones AS l ON n.chain = l.chain AND e.finished_at = l.last_at
),
known AS (
    SELECT
        j.chain, j.deployment_id, j.started_at, j.finished_at, j.day, j.is_earlier, COALESCE(k.is_behind, FALSE) AS is_behind,
        CASE WHEN j.commit_sha IS NOT NULL THEN 'commit ' || COALESCE(k.commit_sha, j.commit_sha)
             ELSE 'version ' || j.version END AS content
    FROM judged AS j
    LEFT JOIN landing.deployment_ranges AS k ON j.deployment_id = k.deployment_id
),
placed AS (
    SELECT
        k.chain, k.deployment_id, k.started_at, k.finished_at, k.day, k.is_earlier, k.is_behind, k.content,
        ROW_NUMBER() OVER (PARTITION BY k.chain ORDER BY k.finished_at, k.started_at, k.deployment_id) AS place,
        LAG(k.content) OVER (PARTITION BY k.chain ORDER BY k.finished_at, k.started_at, k.deployment_id) AS previous_content,
        LAG(k.deployment_id) OVER (PARTITION BY k.chain ORDER BY k.finished_at, k.started_at, k.deployment_id) AS previous_id,
        LAG(k.finished_at) OVER (PARTITION BY k.chain ORDER BY k.finished_at, k.started_at, k.deployment_id) AS previous_finished_at
    FROM known AS k
)
SELECT
    p.chain, p.deployment_id, p.started_at, p.finished_at, p.day, p.is_behind, p.content, p.place,
    p.previous_content, p.previous_id, p.previous_finished_at
FROM placed AS p
WHERE NOT p.is_earlier
