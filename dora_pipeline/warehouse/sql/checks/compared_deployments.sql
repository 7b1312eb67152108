-- By source and day: the deployments in shown_deployments, and those of them and of the days in run_days that the source
-- has now. What it has on another day, or what is judged in another way now, is still there; so is an inferred
-- deployment whose version was seen at its moment.
WITH kept AS (
    SELECT s.source, s.deployment_id
    FROM shown_deployments AS s
    INNER JOIN landing.deployments AS l ON s.source = l.source AND s.deployment_id = l.deployment_id
    UNION
    SELECT s.source, s.deployment_id
    FROM shown_deployments AS s
    INNER JOIN landing.version_activity AS a ON s.service = a.service AND s.version = a.version
    WHERE s.source = 'apm_deployment_tracking' AND s.finished_at BETWEEN a.first_seen_at AND a.last_seen_at
),
added AS (
    SELECT l.source, l.day, COUNT(DISTINCT l.deployment_id) AS deployments
    FROM landing.deployments AS l
    LEFT JOIN shown_deployments AS s ON l.source = s.source AND l.deployment_id = s.deployment_id
    WHERE l.day IN (SELECT r.day FROM run_days AS r) AND s.deployment_id IS NULL
    GROUP BY l.source, l.day
),
shown AS (
    SELECT s.source, s.day, COUNT(*) AS deployments, COUNT(k.deployment_id) AS kept
    FROM shown_deployments AS s
    LEFT JOIN kept AS k ON s.source = k.source AND s.deployment_id = k.deployment_id
    GROUP BY s.source, s.day
)
SELECT
    COALESCE(s.source, a.source) AS source, COALESCE(s.day, a.day) AS day,
    COALESCE(s.deployments, 0) AS rows_before, COALESCE(s.kept, 0) + COALESCE(a.deployments, 0) AS rows_after
FROM shown AS s
FULL OUTER JOIN added AS a ON s.source = a.source AND s.day = a.day
ORDER BY COALESCE(s.source, a.source), COALESCE(s.day, a.day)
