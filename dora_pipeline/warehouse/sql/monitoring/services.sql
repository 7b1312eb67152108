-- The counted deployments, the open failures and the newest events of each service in each environment: of the $most with
-- most events; all others are one row, which bears $rest in place of names. No name is ''; of a long one the first $longest
-- letters stand, for all that begin with them.
SELECT
    p.service, p.env, SUM(p.deployments) AS deployments, SUM(p.open_failures) AS open_failures,
    MAX(p.newest_deployment_at) AS newest_deployment_at, MAX(p.newest_failure_at) AS newest_failure_at
FROM (
    SELECT
        CASE WHEN c.is_named THEN COALESCE(LEFT(c.service, $longest), '') ELSE $rest END AS service,
        CASE WHEN c.is_named THEN COALESCE(LEFT(c.env, $longest), '') ELSE $rest END AS env,
        c.deployments, c.open_failures, c.newest_deployment_at, c.newest_failure_at
    FROM (
        SELECT
            e.*,
            -- A service that is called so would be taken for the rest.
            e.service IS DISTINCT FROM $rest
                AND ROW_NUMBER() OVER (ORDER BY e.deployments + e.failures DESC, e.service, e.env) <= $most AS is_named
        FROM (
            SELECT
                m.service, m.env, COUNT(CASE WHEN m.is_deployment THEN 1 END) AS deployments,
                COUNT(CASE WHEN NOT m.is_deployment THEN 1 END) AS failures, COUNT(CASE WHEN m.is_open THEN 1 END) AS open_failures,
                MAX(CASE WHEN m.is_deployment THEN m.occurred_at END) AS newest_deployment_at,
                MAX(CASE WHEN NOT m.is_deployment THEN m.occurred_at END) AS newest_failure_at
            FROM (
                SELECT d.service, d.env, TRUE AS is_deployment, FALSE AS is_open, d.finished_at AS occurred_at
                FROM core.deployments AS d
                WHERE d.is_selected AND d.duplicate_of IS NULL
                UNION ALL
                SELECT f.service, f.env, FALSE AS is_deployment, f.finished_at IS NULL AS is_open, f.started_at AS occurred_at
                FROM core.failures AS f
                WHERE f.is_selected
            ) AS m
            GROUP BY m.service, m.env
        ) AS e
    ) AS c
) AS p
GROUP BY p.service, p.env
ORDER BY p.service, p.env
