-- The stale days, each with a digest of what has landed of it, of the tables that wait, and of what all days depend on.
-- Hashes of rows are combined without regard to their order.
WITH stale AS (
    SELECT s.day, BIT_XOR(HASH(s.target)) AS digest
    FROM landing.stale_days AS s
    GROUP BY s.day
),
landed AS (
    SELECT HASH('version_activity', v) AS digest, v.day FROM landing.version_activity AS v
    WHERE v.day IN (SELECT s.day FROM stale AS s)
    UNION ALL
    SELECT HASH('judged_deployments', j) AS digest, j.day FROM landing.judged_deployments AS j
    WHERE j.day IN (SELECT s.day FROM stale AS s)
    UNION ALL
    SELECT HASH('judged_failures', f) AS digest, f.day FROM landing.judged_failures AS f
    WHERE f.day IN (SELECT s.day FROM stale AS s)
    UNION ALL
    SELECT HASH('failure_links', l) AS digest, l.day FROM landing.failure_links AS l
    WHERE l.day IN (SELECT s.day FROM stale AS s)
    UNION ALL
    SELECT HASH('rejected_events', r) AS digest, r.day FROM landing.rejected_events AS r
    WHERE r.day IN (SELECT s.day FROM stale AS s)
),
of_days AS (
    SELECT l.day, BIT_XOR(l.digest) AS digest
    FROM landed AS l
    GROUP BY l.day
),
rules AS (
    SELECT HASH('source_selections', s) AS digest FROM core.source_selections AS s
    UNION ALL
    SELECT HASH('services', s) AS digest FROM core.services AS s
    UNION ALL
    SELECT HASH('properties', p) AS digest FROM landing.properties AS p
    WHERE p.name IN ('landing_settings', 'repositories', 'normalized_by', 'schema_version')
),
of_rules AS (
    SELECT BIT_XOR(r.digest) AS digest
    FROM rules AS r
)
SELECT s.day, PRINTF('%016x', HASH(s.digest, d.digest, r.digest)) AS digest
FROM stale AS s
CROSS JOIN of_rules AS r
LEFT JOIN of_days AS d ON s.day = d.day
ORDER BY s.day
