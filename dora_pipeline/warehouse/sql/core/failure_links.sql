-- core.failure_links for the days in run_days: the deployment that most likely caused each failure.
SELECT
    f.failure_id, f.service, f.env, l.deployment_id, l.rule, l.reason, l.distance_seconds, l.runner_up_id, l.runner_up_rule,
    l.possible_ids, f.is_selected, f.day
FROM core.failures AS f
INNER JOIN landing.failure_links AS l
    ON f.failure_id = l.failure_id AND f.service IS NOT DISTINCT FROM l.service AND f.day = l.day
WHERE f.day IN (SELECT r.day FROM run_days AS r)
