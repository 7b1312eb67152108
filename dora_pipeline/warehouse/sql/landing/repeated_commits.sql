-- What is otherwise than the ranges say, for the deployments in new_ranges: of the original commits that several squash
-- commits hold only the first one's count, a squash commit that is left with none counts itself, and what an earlier
-- deployment of the history had (had_commits, from the tips), or has a row of, is a redelivery.
WITH new_commits AS (
    SELECT
        r.deployment_id, r.history, r.service, r.env, r.day, j.finished_at, j.started_at,
        c.commit_sha, c.landed_as_sha, c.landed_place, c.is_touching, c.committed_at,
        CASE WHEN h.deployment_id IS NOT NULL THEN TRUE ELSE FALSE END AS is_had
    FROM new_ranges AS r
    INNER JOIN landing.judged_deployments AS j ON r.deployment_id = j.deployment_id
    INNER JOIN landing.range_commits AS c ON r.range_id = c.range_id
    LEFT JOIN had_commits AS h
        ON r.deployment_id = h.deployment_id AND c.commit_sha = h.commit_sha
        AND COALESCE(c.landed_as_sha, '') = COALESCE(h.landed_as_sha, '')
),
-- A commit is of one moment wherever it is: what is stored in about the order of time is not read whole for a new day.
alike AS (
    SELECT c.range_id, c.commit_sha, c.landed_as_sha, c.landed_place, c.is_touching
    FROM landing.range_commits AS c
    INNER JOIN (SELECT DISTINCT n.commit_sha, n.committed_at FROM new_commits AS n) AS n
        ON c.commit_sha = n.commit_sha AND c.committed_at = n.committed_at
    UNION ALL
    SELECT c.range_id, c.commit_sha, c.landed_as_sha, c.landed_place, c.is_touching
    FROM landing.range_commits AS c
    WHERE c.committed_at IS NULL AND c.commit_sha IN (SELECT n.commit_sha FROM new_commits AS n)
),
earlier AS (
    SELECT
        r.deployment_id, r.history, r.service, r.env, r.day, j.finished_at, j.started_at,
        c.commit_sha, c.landed_as_sha, c.landed_place,
        COALESCE(x.is_brought, c.is_touching AND COALESCE(c.landed_as_sha <> c.commit_sha, TRUE)) AS is_brought
    FROM landing.deployment_ranges AS r
    INNER JOIN changed_ranges AS f ON r.service = f.service AND r.day < f.from_day
    INNER JOIN landing.judged_deployments AS j ON r.deployment_id = j.deployment_id
    INNER JOIN alike AS c ON r.range_id = c.range_id
    LEFT JOIN landing.repeated_commits AS x
        ON r.deployment_id = x.deployment_id AND c.commit_sha = x.commit_sha
        AND COALESCE(c.landed_as_sha, '') = COALESCE(x.landed_as_sha, '')
),
all_commits AS (
    SELECT
        n.deployment_id, n.history, n.service, n.env, n.day, n.finished_at, n.started_at,
        n.commit_sha, n.landed_as_sha, n.landed_place, n.is_touching, n.is_had,
        CAST(NULL AS BOOLEAN) AS was_brought
    FROM new_commits AS n
    UNION ALL
    SELECT
        e.deployment_id, e.history, e.service, e.env, e.day, e.finished_at, e.started_at,
        e.commit_sha, e.landed_as_sha, e.landed_place, FALSE AS is_touching, FALSE AS is_had,
        e.is_brought AS was_brought
    FROM earlier AS e
),
kinds AS (
    SELECT
        a.*,
        CASE WHEN a.landed_as_sha IS NULL THEN 'plain' WHEN a.landed_as_sha = a.commit_sha THEN 'squash' ELSE 'original' END AS kind
    FROM all_commits AS a
),
-- The first squash commit of each original one.
owned AS (
    SELECT
        k.*,
        CASE WHEN k.kind = 'original' AND k.landed_as_sha = FIRST_VALUE(k.landed_as_sha) OVER (
            PARTITION BY k.history, k.service, k.env, k.commit_sha, k.kind
            ORDER BY k.finished_at, k.started_at, k.deployment_id, k.landed_place, k.landed_as_sha
        ) THEN 1 ELSE 0 END AS is_owned
    FROM kinds AS k
),
brought AS (
    SELECT
        o.*,
        CASE
            WHEN o.was_brought IS NOT NULL THEN o.was_brought
            WHEN NOT o.is_touching THEN FALSE
            WHEN o.kind = 'original' THEN o.is_owned = 1
            WHEN o.kind = 'squash' THEN MAX(o.is_owned) OVER (PARTITION BY o.deployment_id, o.landed_as_sha) = 0
            -- It has a row already, as an original commit.
            ELSE MAX(o.is_owned) OVER (PARTITION BY o.deployment_id, o.commit_sha) = 0
        END AS is_brought
    FROM owned AS o
),
counted AS (
    SELECT
        b.*,
        b.is_had OR COALESCE(MAX(CASE WHEN b.is_brought THEN 1 ELSE 0 END) OVER (
            PARTITION BY b.history, b.service, b.env, b.commit_sha
            ORDER BY b.finished_at, b.started_at, b.deployment_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), 0) = 1 AS is_repeated
    FROM brought AS b
)
SELECT
    c.deployment_id, c.commit_sha, c.landed_as_sha, c.is_brought, c.is_brought AND c.is_repeated AS is_redelivery,
    c.service, c.day
FROM counted AS c
WHERE c.was_brought IS NULL
    AND (
        c.is_brought <> (c.is_touching AND c.kind <> 'squash')
        OR (c.is_brought AND c.is_repeated)
    )
