-- The deployments of the services in waiting_services that are judged, with their places in the order in which they went
-- live: in each history by service and env. What went live is the commit, a short SHA as the whole one that the
-- repository knows, else the version.
WITH judged AS (
    SELECT
        j.deployment_id, j.history, j.service, j.env, j.version, j.custom_tags, j.started_at, j.finished_at, j.day,
        k.repository_id, k.commit_sha, COALESCE(k.is_behind, FALSE) AS is_behind,
        CASE WHEN j.commit_sha IS NOT NULL THEN 'commit ' || COALESCE(k.commit_sha, j.commit_sha)
             ELSE 'version ' || j.version END AS content
    FROM landing.judged_deployments AS j
    LEFT JOIN landing.deployment_ranges AS k ON j.deployment_id = k.deployment_id
    WHERE j.history <> 'rejected' AND j.duplicate_of IS NULL AND j.service IN (SELECT w.service FROM waiting_services AS w)
),
numbered AS (
    SELECT x.history, x.service, x.env, ROW_NUMBER() OVER (ORDER BY x.history, x.service, x.env) AS chain
    FROM (SELECT DISTINCT y.history, y.service, y.env FROM judged AS y) AS x
)
SELECT
    n.chain, j.deployment_id, j.service, j.version, LIST_CONCAT(j.custom_tags, s.tags) AS custom_tags, j.finished_at, j.day, j.repository_id, j.commit_sha,
    j.is_behind, j.content,
    ROW_NUMBER() OVER (PARTITION BY n.chain ORDER BY j.finished_at, j.started_at, j.deployment_id) AS place,
    LAG(j.content) OVER (PARTITION BY n.chain ORDER BY j.finished_at, j.started_at, j.deployment_id) AS previous_content,
    LAG(j.deployment_id) OVER (PARTITION BY n.chain ORDER BY j.finished_at, j.started_at, j.deployment_id) AS previous_id
FROM judged AS j
INNER JOIN numbered AS n ON j.history = n.history AND j.service = n.service AND j.env IS NOT DISTINCT FROM n.env
LEFT JOIN (
    {core.carried_tags}
) AS s ON j.service = s.service
