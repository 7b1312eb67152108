-- The failures whose links may differ by what changed since they were linked: those of changed days; of services, or as
-- they name none of teams, whose deployments changed, from the first such moment on; those that are linked to a changed
-- deployment or name one; and those that are unlinked since their service or team is not known, or is known.
WITH changed AS (
    SELECT c.deployment_id, c.service, COALESCE(c.team, s.team) AS team, c.finished_at
    FROM landing.changed_deployments AS c
    LEFT JOIN core.services AS s ON c.service = s.service
),
services AS (
    SELECT c.service, MIN(c.finished_at) AS changed_from FROM changed AS c WHERE c.service IS NOT NULL GROUP BY c.service
),
teams AS (
    SELECT c.team, MIN(c.finished_at) AS changed_from FROM changed AS c WHERE c.team IS NOT NULL GROUP BY c.team
),
known_services AS (
    SELECT s.service FROM core.services AS s
    UNION
    SELECT d.service FROM landing.judged_deployments AS d
    WHERE d.history <> 'rejected' AND d.service IN (SELECT s.service FROM services AS s)
),
known_teams AS (
    SELECT COALESCE(d.team, s.team) AS team
    FROM landing.judged_deployments AS d
    LEFT JOIN core.services AS s ON d.service = s.service
    WHERE d.history <> 'rejected' AND COALESCE(d.team, s.team) IN (SELECT t.team FROM teams AS t)
    GROUP BY COALESCE(d.team, s.team)
),
failures AS (
    SELECT
        f.failure_id, f.service, f.env, f.team, f.version, f.commit_sha, f.started_at, f.day,
        [TRIM(SUBSTRING(t, 15)) FOR t IN f.custom_tags IF STARTS_WITH(t, 'deployment_id:')] AS named
    FROM landing.judged_failures AS f
    WHERE NOT f.is_rejected
),
namings AS (
    SELECT f.failure_id, f.service, UNNEST(f.named) AS name FROM failures AS f WHERE LEN(f.named) > 0
),
tagged AS (
    SELECT DISTINCT n.name FROM namings AS n WHERE EXISTS (SELECT 1 FROM landing.changed_deployments AS c)
),
named_deployments AS (
    {landing.named_deployments}
),
changed_names AS (
    SELECT t.name FROM tagged AS t INNER JOIN changed AS c ON t.name = c.deployment_id
    UNION
    SELECT n.name
    FROM named_deployments AS n
    INNER JOIN landing.judged_deployments AS d ON n.deployment_id = d.deployment_id
    WHERE n.deployment_id IN (SELECT c.deployment_id FROM changed AS c)
        OR d.duplicate_of IN (SELECT c.deployment_id FROM changed AS c)
),
concerned AS (
    SELECT f.failure_id, f.service FROM failures AS f WHERE f.day IN (SELECT u.day FROM landing.unlinked_days AS u)
    UNION
    SELECT f.failure_id, f.service
    FROM failures AS f
    INNER JOIN services AS s ON f.service = s.service
    WHERE f.started_at + TO_MICROSECONDS($slack_us) >= s.changed_from
    UNION
    SELECT f.failure_id, f.service
    FROM failures AS f
    INNER JOIN teams AS t ON f.team = t.team
    WHERE f.service IS NULL AND f.started_at + TO_MICROSECONDS($slack_us) >= t.changed_from
    UNION
    SELECT n.failure_id, n.service FROM namings AS n INNER JOIN changed_names AS c ON n.name = c.name
    UNION
    SELECT l.failure_id, l.service
    FROM landing.failure_links AS l
    WHERE l.rule = 'deployment_id' AND l.deployment_id IN (SELECT c.deployment_id FROM changed AS c)
        OR l.runner_up_rule = 'deployment_id' AND l.runner_up_id IN (SELECT c.deployment_id FROM changed AS c)
    UNION
    SELECT l.failure_id, l.service
    FROM landing.failure_links AS l
    INNER JOIN services AS s ON l.service = s.service
    LEFT JOIN known_services AS k ON l.service = k.service
    WHERE l.deployment_id IS NULL AND (l.reason = 'unknown_service') <> (k.service IS NULL)
    UNION
    SELECT l.failure_id, l.service
    FROM landing.failure_links AS l
    INNER JOIN failures AS f ON l.failure_id = f.failure_id AND f.service IS NULL
    INNER JOIN teams AS t ON f.team = t.team
    LEFT JOIN known_teams AS k ON f.team = k.team
    WHERE l.service IS NULL AND l.deployment_id IS NULL AND (l.reason = 'no_service') <> (k.team IS NULL)
)
SELECT
    ROW_NUMBER() OVER () AS number,
    f.failure_id, f.service, f.env, f.team, f.version, f.commit_sha, f.started_at, f.named, f.day
FROM failures AS f
INNER JOIN concerned AS c ON f.failure_id = c.failure_id AND f.service IS NOT DISTINCT FROM c.service
