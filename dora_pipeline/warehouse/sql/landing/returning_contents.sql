-- What went live in chains again after something else of its chain. Nearly all goes live once: hashes leave that out.
WITH repeated AS (
    SELECT x.hash
    FROM (
        SELECT HASH(c.chain, c.content) AS hash FROM chains AS c WHERE c.content IS NOT NULL
        UNION ALL
        SELECT HASH(b.chain, b.content) AS hash FROM live_before AS b
    ) AS x
    GROUP BY x.hash
    HAVING COUNT(*) > 1
),
alike AS MATERIALIZED (
    SELECT c.chain, c.content, c.previous_content, c.place
    FROM chains AS c
    WHERE c.content IS NOT NULL AND HASH(c.chain, c.content) IN (SELECT r.hash FROM repeated AS r)
)
SELECT DISTINCT a.chain, a.content
FROM alike AS a
INNER JOIN (
    SELECT x.chain, x.content, MIN(x.place) AS first_place
    FROM (
        SELECT y.chain, y.content, y.place FROM alike AS y
        UNION ALL
        SELECT b.chain, b.content, 0 AS place FROM live_before AS b
    ) AS x
    GROUP BY x.chain, x.content
) AS f ON a.chain = f.chain AND a.content = f.content
WHERE a.content <> a.previous_content AND a.place > f.first_place
