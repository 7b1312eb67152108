-- The chains in which something went live that may be a rollback: what was live before and not just now, or a commit in
-- the history of the one before it. Each has to be known from the moment known_from on, back to what it may go back to, and
-- to what the most recent rollback before left behind.
WITH repeated AS (
    SELECT x.chain, x.content, MIN(x.place) AS first_place
    FROM (
        SELECT c.chain, c.content, c.place FROM chains AS c WHERE c.content IS NOT NULL
        UNION ALL
        SELECT b.chain, b.content, 0 AS place FROM live_before AS b
    ) AS x
    GROUP BY x.chain, x.content
    HAVING COUNT(*) > 1
),
possible AS (
    SELECT c.chain
    FROM chains AS c
    INNER JOIN repeated AS r ON c.chain = r.chain AND c.content = r.content
    WHERE c.content <> c.previous_content AND c.place > r.first_place
    UNION
    SELECT c.chain FROM chains AS c WHERE c.is_behind AND c.content <> c.previous_content
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
            c.chain, s.failed_at,
            ROW_NUMBER() OVER (PARTITION BY c.chain ORDER BY s.finished_at DESC, s.started_at DESC, s.deployment_id DESC) AS place
        FROM landing.change_signs AS s
        INNER JOIN waiting_services AS w ON s.service = w.service AND s.day < w.from_day
        INNER JOIN (SELECT DISTINCT x.chain, x.history, x.service, x.env FROM chains AS x) AS c
            ON s.history = c.history AND s.service = c.service AND s.env IS NOT DISTINCT FROM c.env
        WHERE s.way = 'rollback'
    ) AS l
    WHERE l.place = 1
)
SELECT m.chain, MIN(m.known_from) AS known_from
FROM moments AS m
INNER JOIN possible AS r ON m.chain = r.chain
GROUP BY m.chain
