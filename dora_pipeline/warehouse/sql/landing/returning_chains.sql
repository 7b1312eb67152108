-- The chains in which something went live that may be a rollback: what was live before and not just now, or a commit in
-- the history of the one before it (has_behind). Each has to be known from the moment known_from on, back to what it may go
-- back to, and to what the most recent rollback before left behind.
WITH possible AS (
    SELECT x.chain, MAX(x.is_behind) AS has_behind
    FROM (
        SELECT r.chain, FALSE AS is_behind FROM returning_contents AS r
        UNION ALL
        SELECT c.chain, TRUE AS is_behind FROM chains AS c WHERE c.is_behind AND c.content <> c.previous_content
    ) AS x
    GROUP BY x.chain
),
moments AS (
    SELECT c.chain, MIN(c.previous_finished_at) AS known_from FROM chains AS c GROUP BY c.chain
    UNION ALL
    SELECT b.chain, MAX(b.finished_at) AS known_from FROM live_before AS b GROUP BY b.chain, b.content
    UNION ALL
    -- It may go back to whatever was deployed.
    SELECT c.chain, TIMESTAMPTZ '-infinity' AS known_from
    FROM chains AS c
    LEFT JOIN live_before AS b ON c.chain = b.chain AND c.content = b.content
    WHERE c.is_behind AND b.chain IS NULL
    UNION ALL
    SELECT l.chain, l.failed_at AS known_from
    FROM (
        SELECT
            n.chain, s.failed_at,
            ROW_NUMBER() OVER (PARTITION BY n.chain ORDER BY s.finished_at DESC, s.started_at DESC, s.deployment_id DESC) AS place
        FROM landing.change_signs AS s
        INNER JOIN waiting_services AS w ON s.service = w.service AND s.day < w.from_day
        INNER JOIN chain_names AS n
            ON s.history = n.history AND s.service = n.service AND s.env IS NOT DISTINCT FROM n.env
        WHERE s.way = 'rollback'
    ) AS l
    WHERE l.place = 1
)
SELECT p.chain, p.has_behind, MIN(m.known_from) AS known_from
FROM possible AS p
INNER JOIN moments AS m ON p.chain = m.chain
GROUP BY p.chain, p.has_behind
