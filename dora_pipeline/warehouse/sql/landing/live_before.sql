-- What a deployment of chains brings live, where one of its chain brought it live before the from_day of its service.
WITH alike AS (
    SELECT j.deployment_id
    FROM landing.judged_deployments AS j
    INNER JOIN waiting_services AS w ON j.service = w.service AND j.day < w.from_day
    WHERE COALESCE(j.commit_sha, j.version) IN (SELECT SUBSTR(c.content, STRPOS(c.content, ' ') + 1) FROM chains AS c)
    UNION
    SELECT k.deployment_id
    FROM landing.deployment_ranges AS k
    INNER JOIN waiting_services AS w ON k.service = w.service AND k.day < w.from_day
    WHERE k.commit_sha IN (SELECT SUBSTR(c.content, STRPOS(c.content, ' ') + 1) FROM chains AS c)
)
SELECT n.chain, j.content, j.finished_at
FROM (
    SELECT
        x.history, x.service, x.env, x.finished_at,
        CASE WHEN x.commit_sha IS NOT NULL THEN 'commit ' || COALESCE(k.commit_sha, x.commit_sha)
             ELSE 'version ' || x.version END AS content
    FROM alike AS a
    INNER JOIN landing.judged_deployments AS x ON a.deployment_id = x.deployment_id
    LEFT JOIN landing.deployment_ranges AS k ON a.deployment_id = k.deployment_id
    WHERE x.duplicate_of IS NULL
) AS j
INNER JOIN chain_names AS n ON j.history = n.history AND j.service = n.service AND j.env IS NOT DISTINCT FROM n.env
INNER JOIN (SELECT DISTINCT x.chain, x.content FROM chains AS x) AS c ON n.chain = c.chain AND j.content = c.content
