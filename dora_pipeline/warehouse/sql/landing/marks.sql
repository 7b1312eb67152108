-- The deployments that are marked, as failed or not, and what mended them. A mark of a duplicate is one of the deployment
-- that counts, unless that has its own. The remediation may be named by any id of its event, and by that of a duplicate;
-- `is_there` says whether it is here at all, which one that was rejected is not.
WITH marked AS (
    SELECT
        COALESCE(j.duplicate_of, j.deployment_id) AS deployment_id, j.source, j.service, j.change_failure AS is_failed,
        CASE WHEN j.change_failure THEN j.remediation_id END AS name,
        CASE WHEN j.change_failure THEN j.remediation_type END AS remediation_type,
        ROW_NUMBER() OVER (
            PARTITION BY COALESCE(j.duplicate_of, j.deployment_id)
            ORDER BY CASE WHEN j.duplicate_of IS NULL THEN 0 ELSE 1 END, j.deployment_id
        ) AS place
    FROM landing.judged_deployments AS j
    WHERE j.change_failure IS NOT NULL AND j.history <> 'rejected'
),
names AS (
    SELECT DISTINCT m.source, m.name FROM marked AS m WHERE m.place = 1 AND m.name IS NOT NULL
),
meant AS (
    SELECT n.source, n.name, n.name AS deployment_id, 1 AS way FROM names AS n
    UNION ALL
    SELECT n.source, n.name, $prefix || n.name AS deployment_id, 2 AS way FROM names AS n
    UNION ALL
    SELECT n.source, n.name, n.source || ':' || n.name AS deployment_id, 2 AS way FROM names AS n
    UNION ALL
    SELECT n.source, n.name, r.record_id AS deployment_id, 3 AS way
    FROM names AS n
    INNER JOIN landing.event_records AS r ON n.name = r.former_id
    UNION ALL
    SELECT n.source, n.name, o.record_id AS deployment_id, 4 AS way
    FROM names AS n
    INNER JOIN (
        SELECT x.source, x.record_id AS name, x.identity_key, x.record_id, x.is_named FROM landing.event_records AS x
        UNION ALL
        SELECT x.source, x.former_id AS name, x.identity_key, x.record_id, x.is_named FROM landing.event_records AS x
    ) AS r ON n.name = r.name
    INNER JOIN landing.event_records AS o
        ON r.source = o.source AND r.identity_key = o.identity_key
        -- Records with ids of their own are of two events.
        AND (r.record_id = o.record_id OR NOT r.is_named OR NOT o.is_named)
),
found AS (
    SELECT
        m.source, m.name, COALESCE(j.duplicate_of, j.deployment_id) AS deployment_id, j.history,
        -- Two sources may use one id: that of the mark's own is meant.
        ROW_NUMBER() OVER (
            PARTITION BY m.source, m.name
            ORDER BY CASE WHEN j.source = m.source THEN 0 ELSE 1 END, m.way, j.received_at, j.deployment_id
        ) AS place
    FROM meant AS m
    INNER JOIN landing.judged_deployments AS j ON m.deployment_id = j.deployment_id
)
SELECT
    m.deployment_id, m.service, m.is_failed, COALESCE(f.deployment_id, m.name) AS remediation_id, m.remediation_type,
    CASE WHEN f.deployment_id IS NOT NULL THEN TRUE ELSE FALSE END AS is_there
FROM marked AS m
LEFT JOIN found AS f ON m.source = f.source AND m.name = f.name AND f.place = 1 AND f.history <> 'rejected'
WHERE m.place = 1
