-- The deployment that most likely caused each failure in failures_to_link, by the first rule that finds one, and the
-- runner-up: what the rules name when that deployment is left out. A failure that names no env may be of any: beside its link
-- stands what the rules name for each env.
WITH deployments AS MATERIALIZED (
    SELECT
        d.deployment_id, d.service, COALESCE(d.env, '') AS env, d.version, d.commit_sha, COALESCE(d.team, s.team) AS team,
        d.finished_at, EPOCH_US(d.finished_at) // ($window_us + $slack_us + 1) AS span,
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
placed AS (
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
questions AS (
    SELECT
        a.rule, a.owner, a.env, a.content, ROW_NUMBER() OVER (ORDER BY a.rule, a.owner, a.env, a.content) AS question
    FROM asked AS a
    GROUP BY a.rule, a.owner, a.env, a.content
),
-- The spans of time, of the length of a window and its slack, in which deployments are that may be the latest ones: that of
-- a failure touches two at most.
spans AS (
    SELECT DISTINCT q.question, q.rule, q.owner, q.env, EPOCH_US(x.moment) // ($window_us + $slack_us + 1) AS span
    FROM (
        SELECT a.rule, a.owner, a.env, a.started_at - TO_MICROSECONDS($window_us) AS moment FROM asked AS a WHERE a.rule >= 4
        UNION ALL
        SELECT a.rule, a.owner, a.env, a.started_at + TO_MICROSECONDS($slack_us) AS moment FROM asked AS a WHERE a.rule >= 4
    ) AS x
    INNER JOIN questions AS q ON x.rule = q.rule AND x.owner = q.owner AND x.env = q.env
),
answers AS MATERIALIZED (
    SELECT q.question, d.is_rollback, d.finished_at, d.deployment_id
    FROM questions AS q
    INNER JOIN deployments AS d ON q.owner = d.service AND q.env = d.env AND q.content = d.commit_sha
    WHERE q.rule = 2
    UNION ALL
    SELECT q.question, d.is_rollback, d.finished_at, d.deployment_id
    FROM questions AS q
    INNER JOIN deployments AS d ON q.owner = d.service AND q.env = d.env AND q.content = d.version
    WHERE q.rule = 3
    UNION ALL
    SELECT s.question, d.is_rollback, d.finished_at, d.deployment_id
    FROM spans AS s
    INNER JOIN deployments AS d ON s.owner = d.service AND s.env = d.env AND s.span = d.span
    WHERE s.rule = 4
    UNION ALL
    SELECT s.question, d.is_rollback, d.finished_at, d.deployment_id
    FROM spans AS s
    INNER JOIN deployments AS d ON s.owner = d.team AND s.env = d.env AND s.span = d.span
    WHERE s.rule = 5
),
-- Deployments and failures in one order: the deployments right before a failure are the latest. A rollback is none that
-- failed after it began.
moments AS (
    SELECT
        CASE WHEN a.is_rollback THEN -a.question ELSE a.question END AS series, a.finished_at AS moment, 0 AS is_asked, a.deployment_id, a.finished_at,
        CAST(NULL AS BIGINT) AS number, CAST(NULL AS INTEGER) AS rule, CAST(NULL AS VARCHAR) AS env,
        CAST(NULL AS TIMESTAMPTZ) AS finished_from
    FROM answers AS a
    UNION ALL
    SELECT
        CASE WHEN k.is_rollback THEN -q.question ELSE q.question END AS series,
        CASE WHEN k.is_rollback THEN a.started_at ELSE a.started_at + TO_MICROSECONDS($slack_us) END AS moment, 1 AS is_asked,
        NULL AS deployment_id, NULL AS finished_at, a.number, a.rule, a.env,
        CASE WHEN a.rule >= 4 THEN a.started_at - TO_MICROSECONDS($window_us) END AS finished_from
    FROM asked AS a
    INNER JOIN questions AS q ON a.rule = q.rule AND a.owner = q.owner AND a.env = q.env AND a.content = q.content
    INNER JOIN (SELECT DISTINCT x.question, x.is_rollback FROM answers AS x) AS k ON q.question = k.question
),
-- The two latest: one may be the runner-up.
preceding AS (
    SELECT
        m.number, m.rule, m.env, m.finished_from,
        LAG(m.deployment_id IGNORE NULLS) OVER (
            PARTITION BY m.series ORDER BY m.moment, m.is_asked, m.deployment_id
        ) AS latest_id,
        LAG(m.finished_at IGNORE NULLS) OVER (
            PARTITION BY m.series ORDER BY m.moment, m.is_asked, m.deployment_id
        ) AS latest_at,
        LAG(m.deployment_id, 2 IGNORE NULLS) OVER (
            PARTITION BY m.series ORDER BY m.moment, m.is_asked, m.deployment_id
        ) AS second_id,
        LAG(m.finished_at, 2 IGNORE NULLS) OVER (
            PARTITION BY m.series ORDER BY m.moment, m.is_asked, m.deployment_id
        ) AS second_at
    FROM moments AS m
),
latest AS (
    SELECT p.number, p.rule, p.env, p.latest_id AS deployment_id, p.latest_at AS finished_at
    FROM preceding AS p
    WHERE p.number IS NOT NULL AND p.latest_at >= COALESCE(p.finished_from, p.latest_at)
    UNION ALL
    SELECT p.number, p.rule, p.env, p.second_id AS deployment_id, p.second_at AS finished_at
    FROM preceding AS p
    WHERE p.number IS NOT NULL AND p.second_at >= COALESCE(p.finished_from, p.second_at)
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
    GROUP BY c.number, c.deployment_id
),
ranked AS (
    SELECT
        c.number, c.deployment_id, c.finished_at,
        CASE c.rule WHEN 1 THEN 'deployment_id' WHEN 2 THEN 'commit' WHEN 3 THEN 'version' WHEN 4 THEN 'latest'
             ELSE 'team' END AS rule,
        ROW_NUMBER() OVER (PARTITION BY c.number ORDER BY c.rule, c.finished_at DESC, c.deployment_id DESC) AS place
    FROM candidates AS c
),
possible AS (
    SELECT e.number, LIST_SORT(LIST(e.deployment_id)) AS possible_ids
    FROM (
        SELECT
            c.number, c.deployment_id,
            ROW_NUMBER() OVER (PARTITION BY c.number, c.env ORDER BY c.rule, c.finished_at DESC, c.deployment_id DESC) AS place
        FROM candidates AS c
        INNER JOIN failures_to_link AS f ON c.number = f.number
        WHERE f.env IS NULL AND c.env <> ''
    ) AS e
    WHERE e.place = 1
    GROUP BY e.number
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
    SELECT 1 AS is_service, d.service AS owner, d.env, d.is_rollback, MIN(d.finished_at) AS finished_at
    FROM deployments AS d
    GROUP BY d.service, d.env, d.is_rollback
    UNION ALL
    SELECT 0 AS is_service, d.team AS owner, d.env, d.is_rollback, MIN(d.finished_at) AS finished_at
    FROM deployments AS d
    GROUP BY d.team, d.env, d.is_rollback
),
preceded AS (
    SELECT DISTINCT f.number
    FROM failures_to_link AS f
    INNER JOIN firsts AS x
        ON x.owner = COALESCE(f.service, f.team) AND x.is_service = CASE WHEN f.service IS NULL THEN 0 ELSE 1 END
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
