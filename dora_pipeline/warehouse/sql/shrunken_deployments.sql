-- Days in run_days of which a source tells far fewer deployments than core.deployments shows. What it tells on another
-- day, or what is judged in another way now, is still told; so is an inferred deployment whose version was seen at its
-- moment. Events of the event API are told and taken back one by one, so that every loss is meant.
WITH shown AS (
    SELECT d.source, d.day, d.deployment_id, d.service, d.version, d.finished_at
    FROM core.deployments AS d
    WHERE d.day IN (SELECT r.day FROM run_days AS r) AND d.source <> 'deployment_event_api'
),
kept AS (
    SELECT s.source, s.deployment_id
    FROM shown AS s
    INNER JOIN landing.deployments AS l ON s.source = l.source AND s.deployment_id = l.deployment_id
    UNION
    SELECT s.source, s.deployment_id
    FROM shown AS s
    INNER JOIN landing.version_activity AS a ON s.service = a.service AND s.version = a.version
    WHERE s.source = 'apm_deployment_tracking' AND s.finished_at BETWEEN a.first_seen_at AND a.last_seen_at
),
added AS (
    SELECT l.source, l.day, COUNT(DISTINCT l.deployment_id) AS deployments
    FROM landing.deployments AS l
    LEFT JOIN shown AS s ON l.source = s.source AND l.deployment_id = s.deployment_id
    WHERE l.day IN (SELECT r.day FROM run_days AS r) AND s.deployment_id IS NULL
    GROUP BY l.source, l.day
)
SELECT s.source, s.day, COUNT(*) AS rows_before, COUNT(k.deployment_id) + COALESCE(MAX(a.deployments), 0) AS rows_after
FROM shown AS s
LEFT JOIN kept AS k ON s.source = k.source AND s.deployment_id = k.deployment_id
LEFT JOIN added AS a ON s.source = a.source AND s.day = a.day
GROUP BY s.source, s.day
HAVING COUNT(*) >= $fewest AND COUNT(k.deployment_id) + COALESCE(MAX(a.deployments), 0) < COUNT(*) * (1 - $share)
ORDER BY s.source, s.day
