-- What in chains says that a deployment failed: rollbacks, reverts, and of the rules that match the first that says so of
-- the one right before it, and the first that says so of itself.
WITH signs AS (
    SELECT r.deployment_id, 'rollback' AS way, CAST(NULL AS BIGINT) AS rule, r.failed_id FROM rollbacks AS r
    UNION ALL
    SELECT v.deployment_id, 'revert', CAST(NULL AS BIGINT), v.failed_id FROM reverted_deployments AS v
    UNION ALL
    SELECT m.deployment_id, 'rule', MIN(m.rule), CASE WHEN u.fails = 'previous' THEN c.previous_id ELSE m.deployment_id END
    FROM rule_matches AS m
    INNER JOIN change_failure_rules AS u ON m.rule = u.rule
    INNER JOIN chains AS c ON m.deployment_id = c.deployment_id
    GROUP BY m.deployment_id, u.fails, c.previous_id
)
SELECT
    s.deployment_id, s.way, s.rule, s.failed_id, n.history, n.service, n.env, c.started_at, c.finished_at, c.day,
    f.finished_at AS failed_at
FROM signs AS s
INNER JOIN chains AS c ON s.deployment_id = c.deployment_id
INNER JOIN chain_names AS n ON c.chain = n.chain
INNER JOIN landing.judged_deployments AS f ON s.failed_id = f.deployment_id
