-- The deployments of the services in waiting_services that failed, each once: by a mark, a rollback, a revert or a rule,
-- of several ways by the first. Marks aside, a remediation has one failed change, and a deployment the first remediation.
WITH signs AS (
    SELECT s.* FROM landing.change_signs AS s WHERE s.service IN (SELECT w.service FROM waiting_services AS w)
),
chosen AS (
    SELECT
        f.deployment_id AS remediation_id, f.failed_id, f.way, f.started_at, f.finished_at,
        ROW_NUMBER() OVER (PARTITION BY f.deployment_id ORDER BY CASE f.way WHEN 'rollback' THEN 1 ELSE 2 END) AS choice
    FROM signs AS f
    WHERE f.way <> 'rule'
),
-- A mark that says no, and one that names what mended the deployment, leaves nothing to be found.
settled AS (
    SELECT m.deployment_id FROM marks AS m WHERE NOT m.is_failed OR m.remediation_id IS NOT NULL
),
first_mended AS (
    SELECT
        c.failed_id, c.remediation_id, c.way,
        ROW_NUMBER() OVER (
            PARTITION BY c.failed_id
            ORDER BY CASE c.way WHEN 'rollback' THEN 1 ELSE 2 END, c.finished_at, c.started_at, c.remediation_id
        ) AS choice
    FROM chosen AS c
    LEFT JOIN settled AS s ON c.failed_id = s.deployment_id
    WHERE c.choice = 1 AND s.deployment_id IS NULL
),
mended AS (
    SELECT f.failed_id, f.remediation_id, f.way FROM first_mended AS f WHERE f.choice = 1
),
remediations AS (
    SELECT m.remediation_id AS deployment_id FROM mended AS m
    UNION
    SELECT m.remediation_id AS deployment_id FROM marks AS m WHERE m.is_failed AND m.remediation_id IS NOT NULL
),
by_rule AS (
    SELECT
        e.history, e.service, e.env, e.started_at, e.finished_at, e.deployment_id, e.failed_id, e.rule,
        LAG(e.deployment_id) OVER (
            PARTITION BY e.history, e.service, e.env ORDER BY e.finished_at, e.started_at, e.deployment_id
        ) AS last_id
    FROM signs AS e
    LEFT JOIN chosen AS c ON e.deployment_id = c.remediation_id AND c.choice = 1
    LEFT JOIN remediations AS x ON e.failed_id = x.deployment_id
    LEFT JOIN mended AS m ON e.failed_id = m.failed_id
    LEFT JOIN settled AS s ON e.failed_id = s.deployment_id
    WHERE e.way = 'rule' AND e.failed_id <> e.deployment_id
        AND c.remediation_id IS NULL AND x.deployment_id IS NULL AND m.failed_id IS NULL AND s.deployment_id IS NULL
),
-- Of those that stand in a row each second one finds nothing: the one before it is a remediation.
in_rows AS (
    SELECT
        b.*,
        SUM(CASE WHEN b.last_id = b.failed_id THEN 0 ELSE 1 END) OVER (
            PARTITION BY b.history, b.service, b.env ORDER BY b.finished_at, b.started_at, b.deployment_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS row_number
    FROM by_rule AS b
),
numbered AS (
    SELECT
        i.failed_id, i.deployment_id AS remediation_id, i.rule,
        ROW_NUMBER() OVER (
            PARTITION BY i.history, i.service, i.env, i.row_number ORDER BY i.finished_at, i.started_at, i.deployment_id
        ) AS place_in_row
    FROM in_rows AS i
),
mended_by_rule AS (
    SELECT i.failed_id, i.remediation_id, i.rule FROM numbered AS i WHERE i.place_in_row % 2 = 1
),
unmarked AS (
    SELECT
        m.failed_id, m.way, CAST(NULL AS BIGINT) AS rule,
        m.remediation_id, CASE WHEN m.way = 'rollback' THEN 'rollback' ELSE 'rollforward' END AS remediation_type
    FROM mended AS m
    UNION ALL
    SELECT r.failed_id, 'rule' AS way, r.rule, r.remediation_id, 'rollforward' AS remediation_type
    FROM mended_by_rule AS r
    UNION ALL
    SELECT r.deployment_id AS failed_id, 'rule' AS way, r.rule, NULL AS remediation_id, NULL AS remediation_type
    FROM signs AS r
    LEFT JOIN mended AS m ON r.deployment_id = m.failed_id
    LEFT JOIN mended_by_rule AS b ON r.deployment_id = b.failed_id
    LEFT JOIN settled AS s ON r.deployment_id = s.deployment_id
    WHERE r.way = 'rule' AND r.failed_id = r.deployment_id
        AND m.failed_id IS NULL AND b.failed_id IS NULL AND s.deployment_id IS NULL
),
failed AS (
    SELECT
        m.deployment_id, 'mark' AS way, CAST(NULL AS BIGINT) AS rule,
        COALESCE(m.remediation_id, u.remediation_id) AS remediation_id,
        CASE WHEN m.remediation_id IS NULL AND u.remediation_id IS NOT NULL THEN u.remediation_type
             ELSE m.remediation_type END AS remediation_type
    FROM marks AS m
    LEFT JOIN unmarked AS u ON m.deployment_id = u.failed_id
    WHERE m.is_failed
    UNION ALL
    SELECT u.failed_id AS deployment_id, u.way, u.rule, u.remediation_id, u.remediation_type
    FROM unmarked AS u
    LEFT JOIN marks AS m ON u.failed_id = m.deployment_id
    WHERE m.deployment_id IS NULL
)
SELECT
    f.deployment_id, d.service, f.way, u.name AS rule, f.remediation_id, f.remediation_type, r.day AS remediation_day,
    -- A mark may name any deployment; one that was there already mended nothing.
    CASE WHEN r.finished_at > d.finished_at
         THEN CAST(DATE_DIFF('microsecond', d.finished_at, r.finished_at) AS DOUBLE) / 1000000 END AS recovery_seconds,
    d.day
FROM failed AS f
INNER JOIN (
    SELECT j.deployment_id, j.service, j.finished_at, j.day
    FROM landing.judged_deployments AS j
    WHERE j.history <> 'rejected' AND j.duplicate_of IS NULL AND j.service IN (SELECT w.service FROM waiting_services AS w)
) AS d ON f.deployment_id = d.deployment_id
LEFT JOIN change_failure_rules AS u ON f.rule = u.rule
LEFT JOIN landing.judged_deployments AS r ON f.remediation_id = r.deployment_id AND r.history <> 'rejected'
