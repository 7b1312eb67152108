-- The latest deployment of which another one took a commit back, as reverts names it, at most $longest_gap_us before it.
-- A trailing (#N) of a subject is left out here, too. A revert, or what came with the same deployment, is no failure.
WITH commits AS (
    SELECT m.deployment_id, m.sha, m.subject, m.reverts, 'sha ' || LEFT(m.sha, 7) AS name FROM brought_messages AS m
    UNION ALL
    SELECT
        m.deployment_id, m.sha, m.subject, m.reverts,
        'subject ' || REGEXP_REPLACE(m.subject, '\s*\(#\d+\)$', '') AS name
    FROM brought_messages AS m
),
pairs AS (
    SELECT DISTINCT
        n.deployment_id, n.sha, d.deployment_id AS failed_id, d.finished_at AS failed_at, d.started_at AS failed_started_at,
        DATE_DIFF('microsecond', d.finished_at, e.finished_at) AS apart,
        c.subject NOT LIKE 'Reapply "%' AND (LEN(c.reverts) > 0 OR c.subject LIKE 'Revert "%') AS is_revert
    FROM reverts AS n
    INNER JOIN chains AS e ON n.deployment_id = e.deployment_id
    INNER JOIN chain_names AS h ON e.chain = h.chain
    INNER JOIN commits AS c ON n.name = c.name AND n.sha <> c.sha AND STARTS_WITH(c.sha, n.beginning)
    INNER JOIN landing.judged_deployments AS d
        ON c.deployment_id = d.deployment_id AND h.history = d.history AND h.service = d.service AND h.env IS NOT DISTINCT FROM d.env
        AND (d.finished_at, d.started_at, d.deployment_id) <= (e.finished_at, e.started_at, e.deployment_id)
    WHERE d.duplicate_of IS NULL
),
latest AS (
    SELECT
        p.deployment_id, p.failed_id,
        ROW_NUMBER() OVER (
            PARTITION BY p.deployment_id ORDER BY p.failed_at DESC, p.failed_started_at DESC, p.failed_id DESC
        ) AS place
    FROM pairs AS p
    LEFT JOIN (SELECT DISTINCT o.deployment_id, o.sha FROM pairs AS o WHERE o.failed_id = o.deployment_id) AS own
        ON p.deployment_id = own.deployment_id AND p.sha = own.sha
    WHERE own.sha IS NULL AND NOT p.is_revert AND p.apart <= $longest_gap_us
)
SELECT l.deployment_id, l.failed_id FROM latest AS l WHERE l.place = 1
