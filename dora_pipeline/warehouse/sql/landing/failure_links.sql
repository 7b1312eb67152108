-- The deployment that most likely caused each failure in failures_to_link, by the first rule that finds one, and the
-- runner-up: what the rules name when that deployment is left out. A failure that names no env may be of any: beside its link
-- stands what the rules name for each env.
WITH deployments AS MATERIALIZED (
    SELECT
        d.deployment_id, d.service, COALESCE(d.env, '') AS env, d.version, d.commit_sha, COALESCE(d.team, s.team) AS team,
        d.finished_at,
        CASE WHEN k.kind = 'rollback' THEN TRUE ELSE FALSE END AS is_rollback
    FROM landing.judged_deployments AS d
    LEFT JOIN core.services AS s ON d.service = s.service
    LEFT JOIN landing.deployment_kinds AS k ON d.deployment_id = k.deployment_id
    WHERE d.history = 'selected'
        AND (
            d.service IN (SELECT f.service FROM failures_to_link AS f WHERE f.service IS NOT NULL)
            OR COALESCE(d.team, s.team) IN (SELECT f.team FROM failures_to_link AS f WHERE f.service IS NULL AND f.team IS NOT NULL)
        )
),
-- Rule 1. A tag may name a deployment of any service, env and time.
namings AS (
    SELECT f.number, UNNEST(f.named) AS name FROM failures_to_link AS f WHERE ARRAY_LENGTH(f.named) > 0
),
tagged AS (
    SELECT DISTINCT n.name FROM namings AS n
),
named_deployments AS (
    {landing.named_deployments}
),
-- A short SHA stands for each commit of the service that begins with it, and the other way round.
commits AS (
    SELECT DISTINCT f.service, f.commit_sha AS failed_sha, d.commit_sha
    FROM (SELECT DISTINCT x.service, x.commit_sha FROM failures_to_link AS x WHERE x.service IS NOT NULL) AS f
    INNER JOIN deployments AS d
        ON f.service = d.service AND LEFT(f.commit_sha, 7) = LEFT(d.commit_sha, 7)
        AND (STARTS_WITH(f.commit_sha, d.commit_sha) OR STARTS_WITH(d.commit_sha, f.commit_sha))
),
-- The envs that each failure may be of: its own, else each that its owner (its service or team) has deployments in; '' is none.
placed AS MATERIALIZED (
    SELECT f.number, f.service, f.team, f.version, f.commit_sha, f.started_at, f.env
    FROM failures_to_link AS f
    WHERE f.env IS NOT NULL
    UNION ALL
    SELECT f.number, f.service, f.team, f.version, f.commit_sha, f.started_at, o.env
    FROM failures_to_link AS f
    INNER JOIN (
        SELECT DISTINCT 1 AS is_service, d.service AS owner, d.env FROM deployments AS d
        UNION ALL
        SELECT DISTINCT 0 AS is_service, d.team AS owner, d.env FROM deployments AS d
    ) AS o ON o.owner = COALESCE(f.service, f.team) AND o.is_service = CASE WHEN f.service IS NULL THEN 0 ELSE 1 END
    WHERE f.env IS NULL
),
-- Rules 2 to 5. What each failure asks for: the latest deployment of an owner in an env, with a certain content.
asked AS (
    SELECT f.number, 2 AS rule, f.service AS owner, f.env, c.commit_sha AS content, f.started_at
    FROM placed AS f
    INNER JOIN commits AS c ON f.service = c.service AND f.commit_sha = c.failed_sha
    UNION ALL
    SELECT f.number, 3, f.service, f.env, f.version, f.started_at
    FROM placed AS f
    WHERE f.service IS NOT NULL AND f.version IS NOT NULL
    UNION ALL
    SELECT f.number, 4, f.service, f.env, '', f.started_at
    FROM placed AS f
    WHERE f.service IS NOT NULL
    UNION ALL
    SELECT f.number, 5, f.team, f.env, '', f.started_at
    FROM placed AS f
    WHERE f.service IS NULL AND f.team IS NOT NULL
),
questions AS MATERIALIZED (
    SELECT
        a.rule, a.owner, a.env, a.content, ROW_NUMBER() OVER (ORDER BY a.rule, a.owner, a.env, a.content) AS question,
        CASE WHEN a.rule >= 4 THEN MIN(a.started_at) - TO_MICROSECONDS($window_us) END AS finished_from
    FROM asked AS a
    GROUP BY a.rule, a.owner, a.env, a.content
),
-- Deployments by what may be asked of them.
offers AS (
    SELECT d.service AS owner, 2 AS rule, d.commit_sha AS content, d.env, d.finished_at, d.deployment_id, d.is_rollback
    FROM deployments AS d
    UNION ALL
    SELECT d.service, 3, d.version, d.env, d.finished_at, d.deployment_id, d.is_rollback
    FROM deployments AS d
    UNION ALL
    SELECT d.service, 4, '', d.env, d.finished_at, d.deployment_id, d.is_rollback
    FROM deployments AS d
    UNION ALL
    SELECT d.team, 5, '', d.env, d.finished_at, d.deployment_id, d.is_rollback
    FROM deployments AS d
),
answers AS (
    SELECT q.question, o.is_rollback, o.finished_at, o.deployment_id
    FROM questions AS q
    INNER JOIN offers AS o ON q.rule = o.rule AND q.owner = o.owner AND q.content = o.content AND q.env = o.env
    WHERE q.finished_from IS NULL OR o.finished_at >= q.finished_from
),
-- Deployments and failures in one order: the latest deployment before a failure is the one of the same place.
moments AS (
    SELECT a.question, a.is_rollback, a.finished_at AS moment, a.finished_at, a.deployment_id, NULL AS number, NULL AS rule
    FROM answers AS a
    UNION ALL
    SELECT
        q.question, k.is_rollback,
        -- A rollback is none that failed after it began.
        CASE WHEN k.is_rollback THEN a.started_at ELSE a.started_at + TO_MICROSECONDS($slack_us) END AS moment,
        NULL AS finished_at, NULL AS deployment_id, a.number, a.rule
    FROM asked AS a
    INNER JOIN questions AS q ON a.rule = q.rule AND a.owner = q.owner AND a.env = q.env AND a.content = q.content
    CROSS JOIN (SELECT TRUE AS is_rollback UNION ALL SELECT FALSE AS is_rollback) AS k
),
places AS MATERIALIZED (
    SELECT
        m.question, m.is_rollback, m.finished_at, m.deployment_id, m.number, m.rule,
        COUNT(m.deployment_id) OVER (
            PARTITION BY m.question, m.is_rollback
            ORDER BY m.moment, CASE WHEN m.deployment_id IS NULL THEN 1 ELSE 0 END, m.deployment_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS place
    FROM moments AS m
),
-- The two latest: one may be the runner-up.
sought AS (
    SELECT p.question, p.is_rollback, p.place, p.number, p.rule FROM places AS p WHERE p.number IS NOT NULL
    UNION ALL
    SELECT p.question, p.is_rollback, p.place - 1, p.number, p.rule FROM places AS p WHERE p.number IS NOT NULL
),
latest AS (
    SELECT s.number, s.rule, q.env, d.deployment_id, d.finished_at
    FROM sought AS s
    INNER JOIN questions AS q ON s.question = q.question
    INNER JOIN places AS d
        ON s.question = d.question AND s.is_rollback = d.is_rollback AND s.place = d.place
        AND d.deployment_id IS NOT NULL
),
found AS (
    SELECT n.number, 1 AS rule, '' AS env, d.deployment_id, d.finished_at
    FROM namings AS n
    INNER JOIN named_deployments AS k ON n.name = k.name
    INNER JOIN landing.judged_deployments AS j ON k.deployment_id = j.deployment_id
    INNER JOIN landing.judged_deployments AS d ON COALESCE(j.duplicate_of, j.deployment_id) = d.deployment_id
    WHERE d.history = 'selected'
    UNION ALL
    SELECT l.number, l.rule, l.env, l.deployment_id, l.finished_at FROM latest AS l
),
-- Each deployment by the first rule that finds it.
candidates AS (
    SELECT c.number, c.deployment_id, MAX(c.env) AS env, MIN(c.rule) AS rule, MIN(c.finished_at) AS finished_at
    FROM found AS c
    INNER JOIN failures_to_link AS f ON c.number = f.number
    WHERE c.rule < 4 OR c.finished_at >= f.started_at - TO_MICROSECONDS($window_us)
    GROUP BY c.number, c.deployment_id
),
ranked AS (
    SELECT
        c.number, c.deployment_id, c.env, c.finished_at,
        CASE c.rule WHEN 1 THEN 'deployment_id' WHEN 2 THEN 'commit' WHEN 3 THEN 'version' WHEN 4 THEN 'latest'
             ELSE 'team' END AS rule,
        ROW_NUMBER() OVER (PARTITION BY c.number ORDER BY c.rule, c.finished_at DESC, c.deployment_id DESC) AS place,
        ROW_NUMBER() OVER (PARTITION BY c.number, c.env ORDER BY c.rule, c.finished_at DESC, c.deployment_id DESC) AS place_in_env
    FROM candidates AS c
),
possible AS (
    SELECT r.number, LIST_SORT(LIST(r.deployment_id)) AS possible_ids
    FROM ranked AS r
    INNER JOIN failures_to_link AS f ON r.number = f.number
    WHERE f.env IS NULL AND r.env <> '' AND r.place_in_env = 1
    GROUP BY r.number
),
-- Why the others are unlinked.
owners AS (
    SELECT 1 AS is_service, s.service AS owner FROM core.services AS s
    UNION
    SELECT 1, d.service FROM landing.judged_deployments AS d WHERE d.history <> 'rejected'
    UNION
    SELECT 0, COALESCE(d.team, s.team)
    FROM landing.judged_deployments AS d
    LEFT JOIN core.services AS s ON d.service = s.service
    WHERE d.history <> 'rejected'
),
firsts AS (
    SELECT o.rule, o.owner, o.env, o.is_rollback, MIN(o.finished_at) AS finished_at
    FROM offers AS o
    WHERE o.rule >= 4
    GROUP BY o.rule, o.owner, o.env, o.is_rollback
),
preceded AS (
    SELECT DISTINCT f.number
    FROM failures_to_link AS f
    INNER JOIN firsts AS x
        ON x.owner = COALESCE(f.service, f.team) AND x.rule = CASE WHEN f.service IS NULL THEN 5 ELSE 4 END
    WHERE (f.env IS NULL OR f.env = x.env)
        AND x.finished_at
            <= CASE WHEN x.is_rollback THEN f.started_at ELSE f.started_at + TO_MICROSECONDS($slack_us) END
)
SELECT
    f.failure_id, f.service, f.env, w.deployment_id, w.rule,
    CASE WHEN w.deployment_id IS NOT NULL THEN NULL
         WHEN o.owner IS NULL AND f.service IS NULL THEN 'no_service'
         WHEN o.owner IS NULL THEN 'unknown_service'
         WHEN p.number IS NULL THEN 'no_deployment'
         ELSE 'too_long_ago' END AS reason,
    CAST(DATE_DIFF('microsecond', w.finished_at, f.started_at) AS DOUBLE) / 1000000 AS distance_seconds,
    r.deployment_id AS runner_up_id, r.rule AS runner_up_rule,
    -- A deployment that is named is the one in whatever env.
    CASE WHEN w.rule <> 'deployment_id' THEN e.possible_ids END AS possible_ids,
    f.day
FROM failures_to_link AS f
LEFT JOIN ranked AS w ON f.number = w.number AND w.place = 1
LEFT JOIN ranked AS r ON f.number = r.number AND r.place = 2
LEFT JOIN possible AS e ON f.number = e.number
LEFT JOIN owners AS o
    ON o.owner = COALESCE(f.service, f.team) AND o.is_service = CASE WHEN f.service IS NULL THEN 0 ELSE 1 END
LEFT JOIN preceded AS p ON f.number = p.number
