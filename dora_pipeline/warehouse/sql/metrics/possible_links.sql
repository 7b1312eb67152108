-- Deployments of which it is not known whether a failure is linked to them: each failure that names no env, with what it would
-- be linked to if it named one, where no failure is known to be linked to that.
SELECT p.failure_id, p.service, p.deployment_id
FROM (
    SELECT l.failure_id, l.service, UNNEST(l.possible_ids) AS deployment_id
    FROM core.failure_links AS l
    WHERE l.is_selected AND l.possible_ids IS NOT NULL
) AS p
ANTI JOIN (
    SELECT l.deployment_id FROM core.failure_links AS l
    WHERE l.is_selected AND l.possible_ids IS NULL AND l.deployment_id IS NOT NULL
) AS k ON p.deployment_id = k.deployment_id
