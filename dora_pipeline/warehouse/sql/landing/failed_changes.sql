-- The deployments of the services in waiting_services that failed, each once: by a mark, a rollback, a revert or a rule,
-- of several ways by the first. Marks aside, a remediation has one failed change, and a deployment the first remediation.
WITH found AS (
    SELECT r.deployment_id AS remediation_id, r.failed_id, 2 AS way FROM rollbacks AS r
    UNION ALL
    SELECT v.deployment_id AS remediation_id, v.failed_id, 3 AS way FROM reverted_deployments AS v
),
chosen AS (
    SELECT
        f.remediation_id, f.failed_id, f.way,
        ROW_NUMBER() OVER (PARTITION BY f.remediation_id ORDER BY f.way, d.place DESC) AS choice
    FROM found AS f
    INNER JOIN chains AS d ON f.failed_id = d.deployment_id
),
-- A mark that says no, and one that names what mended the deployment, leaves nothing to be found.
settled AS (
    SELECT m.deployment_id FROM marks AS m WHERE NOT m.is_failed OR m.remediation_id IS NOT NULL
),
first_mended AS (
    SELECT
        c.failed_id, c.remediation_id, c.way,
        ROW_NUMBER() OVER (PARTITION BY c.failed_id ORDER BY c.way, e.place) AS choice
    FROM chosen AS c
    INNER JOIN chains AS e ON c.remediation_id = e.deployment_id
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
first_rules AS (
    SELECT r.deployment_id, u.fails, MIN(r.rule) AS rule
    FROM rule_matches AS r
    INNER JOIN change_failure_rules AS u ON r.rule = u.rule
    GROUP BY r.deployment_id, u.fails
),
-- Of those that stand in a row each second one finds nothing: the one before it is a remediation.
by_rule AS (
    SELECT
        e.chain, e.place, e.deployment_id AS remediation_id, e.previous_id AS failed_id, r.rule,
        e.place - ROW_NUMBER() OVER (PARTITION BY e.chain ORDER BY e.place) AS row_start
    FROM first_rules AS r
    INNER JOIN chains AS e ON r.deployment_id = e.deployment_id
    LEFT JOIN chosen AS c ON e.deployment_id = c.remediation_id AND c.choice = 1
    LEFT JOIN remediations AS x ON e.previous_id = x.deployment_id
    LEFT JOIN mended AS m ON e.previous_id = m.failed_id
    LEFT JOIN settled AS s ON e.previous_id = s.deployment_id
    WHERE r.fails = 'previous' AND e.previous_id IS NOT NULL
        AND c.remediation_id IS NULL AND x.deployment_id IS NULL AND m.failed_id IS NULL AND s.deployment_id IS NULL
),
in_rows AS (
    SELECT
        b.remediation_id, b.failed_id, b.rule,
        ROW_NUMBER() OVER (PARTITION BY b.chain, b.row_start ORDER BY b.place) AS place_in_row
    FROM by_rule AS b
),
mended_by_rule AS (
    SELECT i.failed_id, i.remediation_id, i.rule FROM in_rows AS i WHERE i.place_in_row % 2 = 1
),
unmarked AS (
    SELECT
        m.failed_id, CASE WHEN m.way = 2 THEN 'rollback' ELSE 'revert' END AS way, CAST(NULL AS BIGINT) AS rule,
        m.remediation_id, CASE WHEN m.way = 2 THEN 'rollback' ELSE 'rollforward' END AS remediation_type
    FROM mended AS m
    UNION ALL
    SELECT r.failed_id, 'rule' AS way, r.rule, r.remediation_id, 'rollforward' AS remediation_type
    FROM mended_by_rule AS r
    UNION ALL
    SELECT r.deployment_id AS failed_id, 'rule' AS way, r.rule, NULL AS remediation_id, NULL AS remediation_type
    FROM first_rules AS r
    LEFT JOIN mended AS m ON r.deployment_id = m.failed_id
    LEFT JOIN mended_by_rule AS b ON r.deployment_id = b.failed_id
    LEFT JOIN settled AS s ON r.deployment_id = s.deployment_id
    WHERE r.fails = 'itself' AND m.failed_id IS NULL AND b.failed_id IS NULL AND s.deployment_id IS NULL
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
INNER JOIN chains AS d ON f.deployment_id = d.deployment_id
LEFT JOIN change_failure_rules AS u ON f.rule = u.rule
LEFT JOIN landing.judged_deployments AS r ON f.remediation_id = r.deployment_id AND r.history <> 'rejected'
