-- The chains in which something went live that may be a rollback: what was live before and not just now, or a commit in
-- the history of the one before it.
WITH repeated AS (
    SELECT c.chain, c.content, MIN(c.place) AS first_place
    FROM chains AS c
    WHERE c.content IS NOT NULL
    GROUP BY c.chain, c.content
    HAVING COUNT(*) > 1
)
SELECT c.chain
FROM chains AS c
INNER JOIN repeated AS r ON c.chain = r.chain AND c.content = r.content
WHERE c.content <> c.previous_content AND c.place > r.first_place
UNION
SELECT c.chain FROM chains AS c WHERE c.is_behind AND c.content <> c.previous_content
