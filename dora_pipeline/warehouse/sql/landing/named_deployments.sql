-- The deployments that the ids in `tagged` name: by its own id, that without its source's prefix included, or by that
-- of a record that was united with it, the id included that the intake made up for one; records with ids of their own
-- are of two events, also where all else is alike. One that was rejected is none.
SELECT t.name, d.deployment_id
FROM (
    SELECT x.name, x.name AS deployment_id FROM tagged AS x
    UNION ALL
    SELECT x.name, 'apm:' || x.name AS deployment_id FROM tagged AS x
    UNION ALL
    SELECT x.name, 'deployment_event_api:' || x.name AS deployment_id FROM tagged AS x
) AS t
INNER JOIN landing.judged_deployments AS d ON t.deployment_id = d.deployment_id
WHERE d.history <> 'rejected'
UNION
SELECT r.name, d.deployment_id
FROM (
    SELECT t.name, e.source, e.identity_key, e.record_id, e.is_named
    FROM tagged AS t
    INNER JOIN landing.event_records AS e ON t.name = e.record_id
    UNION
    SELECT t.name, e.source, e.identity_key, e.record_id, e.is_named
    FROM tagged AS t
    INNER JOIN landing.event_records AS e ON t.name = e.former_id
) AS r
INNER JOIN landing.event_records AS o
    ON r.source = o.source AND r.identity_key = o.identity_key
    AND (r.record_id = o.record_id OR NOT r.is_named OR NOT o.is_named)
INNER JOIN landing.judged_deployments AS d ON o.source = d.source AND o.record_id = d.deployment_id
LEFT JOIN landing.judged_deployments AS x ON r.name = x.deployment_id
WHERE d.history <> 'rejected' AND x.deployment_id IS NULL
