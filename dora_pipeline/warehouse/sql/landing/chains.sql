-- What went live of the services in waiting_services from their from_day on, each with its place in its chain, the
-- deployments of a history by service and env in the order in which they went live, and with the one right before it. What
-- went live is the commit, a short SHA as the whole one that the repository knows, else the version.
WITH judged AS (
    SELECT
        j.deployment_id, j.history, j.service, j.env, j.version, j.commit_sha, j.custom_tags, j.started_at, j.finished_at, j.day,
        FALSE AS is_earlier
    FROM landing.judged_deployments AS j
    INNER JOIN waiting_services AS w ON j.service = w.service AND j.day >= w.from_day
    WHERE j.history <> 'rejected' AND j.duplicate_of IS NULL
    UNION ALL
    -- Of what was judged before only the last of each chain is looked back at.
    SELECT
        e.deployment_id, e.history, e.service, e.env, e.version, e.commit_sha, CAST(NULL AS VARCHAR[]) AS custom_tags,
        e.started_at, e.finished_at, CAST(NULL AS DATE) AS day, TRUE AS is_earlier
    FROM landing.judged_deployments AS e
    INNER JOIN (
        SELECT x.history, x.service, x.env, MAX(x.finished_at) AS last_at
        FROM landing.judged_deployments AS x
        INNER JOIN waiting_services AS w ON x.service = w.service AND x.day < w.from_day
        WHERE x.history <> 'rejected' AND x.duplicate_of IS NULL
        GROUP BY x.history, x.service, x.env
    ) AS l
        ON e.history = l.history AND e.service = l.service AND e.env IS NOT DISTINCT FROM l.env AND e.finished_at = l.last_at
    WHERE e.duplicate_of IS NULL
),
known AS (
    SELECT
        j.*, k.repository_id, k.commit_sha AS known_sha, COALESCE(k.is_behind, FALSE) AS is_behind,
        CASE WHEN j.commit_sha IS NOT NULL THEN 'commit ' || COALESCE(k.commit_sha, j.commit_sha)
             ELSE 'version ' || j.version END AS content
    FROM judged AS j
    LEFT JOIN landing.deployment_ranges AS k ON j.deployment_id = k.deployment_id
),
numbered AS (
    SELECT x.history, x.service, x.env, ROW_NUMBER() OVER (ORDER BY x.history, x.service, x.env) AS chain
    FROM (SELECT DISTINCT y.history, y.service, y.env FROM judged AS y) AS x
),
placed AS (
    SELECT
        n.chain, j.*,
        ROW_NUMBER() OVER (PARTITION BY n.chain ORDER BY j.finished_at, j.started_at, j.deployment_id) AS place,
        LAG(j.content) OVER (PARTITION BY n.chain ORDER BY j.finished_at, j.started_at, j.deployment_id) AS previous_content,
        LAG(j.deployment_id) OVER (PARTITION BY n.chain ORDER BY j.finished_at, j.started_at, j.deployment_id) AS previous_id,
        LAG(j.finished_at) OVER (PARTITION BY n.chain ORDER BY j.finished_at, j.started_at, j.deployment_id) AS previous_finished_at
    FROM known AS j
    INNER JOIN numbered AS n ON j.history = n.history AND j.service = n.service AND j.env IS NOT DISTINCT FROM n.env
)
SELECT
    p.chain, p.deployment_id, p.history, p.service, p.env, p.version, LIST_CONCAT(p.custom_tags, s.tags) AS custom_tags,
    p.started_at, p.finished_at, p.day, p.repository_id, p.known_sha AS commit_sha, p.is_behind, p.content, p.place,
    p.previous_content, p.previous_id, p.previous_finished_at
FROM placed AS p
LEFT JOIN (
    {core.carried_tags}
) AS s ON p.service = s.service
WHERE NOT p.is_earlier
