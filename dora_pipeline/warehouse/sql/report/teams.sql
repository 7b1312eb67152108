-- The team of each service: that of its newest event since $since_day that has one.
SELECT t.service, t.team
FROM (
    SELECT
        e.service, e.team,
        ROW_NUMBER() OVER (PARTITION BY e.service ORDER BY e.occurred_at DESC, e.event_id) AS place
    FROM (
        SELECT d.service, d.team, d.finished_at AS occurred_at, d.deployment_id AS event_id, d.day
        FROM core.deployments AS d WHERE d.is_selected AND d.duplicate_of IS NULL
        UNION ALL
        SELECT f.service, f.team, f.started_at AS occurred_at, f.failure_id AS event_id, f.day
        FROM core.failures AS f WHERE f.is_selected
    ) AS e
    WHERE e.service IS NOT NULL AND e.team IS NOT NULL AND e.day >= $since_day
) AS t
WHERE t.place = 1
ORDER BY t.service
