-- Days in run_days of which a source tells far fewer failures than core.failures shows. What it tells on another day, or
-- what is judged in another way now, is still told. Events of the event API are told and taken back one by one, so that
-- every loss is meant.
WITH shown AS (
    SELECT f.source, f.day, f.failure_id, f.service
    FROM core.failures AS f
    WHERE f.day IN (SELECT r.day FROM run_days AS r) AND f.source <> 'failure_event_api'
),
told AS (
    SELECT DISTINCT l.source, l.failure_id, l.service FROM landing.failures AS l
),
added AS (
    SELECT l.source, l.day, COUNT(*) AS failures
    FROM (
        SELECT DISTINCT f.source, f.day, f.failure_id, f.service
        FROM landing.failures AS f
        WHERE f.day IN (SELECT r.day FROM run_days AS r)
    ) AS l
    LEFT JOIN shown AS s
        ON l.source = s.source AND l.failure_id = s.failure_id AND l.service IS NOT DISTINCT FROM s.service
    WHERE s.failure_id IS NULL
    GROUP BY l.source, l.day
)
SELECT s.source, s.day, COUNT(*) AS rows_before, COUNT(t.failure_id) + COALESCE(MAX(a.failures), 0) AS rows_after
FROM shown AS s
LEFT JOIN told AS t
    ON s.source = t.source AND s.failure_id = t.failure_id AND s.service IS NOT DISTINCT FROM t.service
LEFT JOIN added AS a ON s.source = a.source AND s.day = a.day
GROUP BY s.source, s.day
HAVING COUNT(*) >= $fewest AND COUNT(t.failure_id) + COALESCE(MAX(a.failures), 0) < COUNT(*) * (1 - $share)
ORDER BY s.source, s.day
