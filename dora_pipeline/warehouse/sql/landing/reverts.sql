-- What the commits of deployments in chains take back, as their messages name it: by the beginning of a SHA, or by a
-- subject, of which a trailing (#N) is left out. What takes a revert back takes back no change.
WITH reverting AS (
    SELECT m.deployment_id, m.sha, m.subject, m.reverts
    FROM brought_messages AS m
    INNER JOIN chains AS c ON m.deployment_id = c.deployment_id
    WHERE (LEN(m.reverts) > 0 OR m.subject LIKE 'Revert "%')
        AND m.subject NOT LIKE 'Revert "Revert "%' AND m.subject NOT LIKE 'Reapply "%'
)
SELECT DISTINCT r.deployment_id, r.sha, LOWER(r.reverted_sha) AS beginning, 'sha ' || LOWER(LEFT(r.reverted_sha, 7)) AS name
FROM (SELECT x.deployment_id, x.sha, UNNEST(x.reverts) AS reverted_sha FROM reverting AS x) AS r
UNION ALL
SELECT DISTINCT
    r.deployment_id, r.sha, '' AS beginning,
    'subject ' || REGEXP_REPLACE(
        REGEXP_EXTRACT(r.subject, '^Revert "(.*)"(\s*\(#\d+\))?$', 1), '\s*\(#\d+\)$', ''
    ) AS name
FROM reverting AS r
WHERE REGEXP_MATCHES(r.subject, '^Revert ".+"(\s*\(#\d+\))?$')
