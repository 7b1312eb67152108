-- By source and day: the failures in shown_failures, one for each service, and those of them and of the days in run_days
-- that the source has now. What it has on another day, or what is judged in another way now, is still there.
WITH landed AS (
    SELECT DISTINCT l.source, l.failure_id, l.service FROM landing.failures AS l
),
added AS (
    SELECT l.source, l.day, COUNT(*) AS failures
    FROM (
        SELECT DISTINCT f.source, f.day, f.failure_id, f.service
        FROM landing.failures AS f
        WHERE f.day IN (SELECT r.day FROM run_days AS r)
    ) AS l
    LEFT JOIN shown_failures AS s
        ON l.source = s.source AND l.failure_id = s.failure_id AND l.service IS NOT DISTINCT FROM s.service
    WHERE s.failure_id IS NULL
    GROUP BY l.source, l.day
),
shown AS (
    SELECT s.source, s.day, COUNT(*) AS failures, COUNT(t.failure_id) AS kept
    FROM shown_failures AS s
    LEFT JOIN landed AS t
        ON s.source = t.source AND s.failure_id = t.failure_id AND s.service IS NOT DISTINCT FROM t.service
    GROUP BY s.source, s.day
)
SELECT
    COALESCE(s.source, a.source) AS source, COALESCE(s.day, a.day) AS day,
    COALESCE(s.failures, 0) AS rows_before, COALESCE(s.kept, 0) + COALESCE(a.failures, 0) AS rows_after
FROM shown AS s
FULL OUTER JOIN added AS a ON s.source = a.source AND s.day = a.day
ORDER BY COALESCE(s.source, a.source), COALESCE(s.day, a.day)
