-- Files of raw/ of which the database `published` is made and which have not landed in this one, each with how many records
-- that the intake received in it have not landed by another file since: states of events, and rejects.
WITH landed AS (
    SELECT e.source, e.record_id AS name, e.changed_at FROM landing.event_records AS e
    UNION ALL
    -- An event that took an id of its own was known by another one.
    SELECT e.source, e.former_id, e.changed_at FROM landing.event_records AS e WHERE e.former_id IS NOT NULL
    UNION ALL
    -- One that was sent again to another store, without an id, was given another one there.
    SELECT e.source, COALESCE(e.identity_key, CAST(e.attributes AS VARCHAR)), e.changed_at
    FROM landing.event_records AS e
),
rejected AS (
    SELECT r.source, r.reason, r.record AS name FROM landing.rejected_events AS r
    UNION ALL
    SELECT r.source, r.reason, CAST(r.payload AS VARCHAR) FROM landing.rejected_events AS r
),
lost AS (
    SELECT p.source, p.input
    FROM published.landing.event_records AS p
    WHERE p.is_sent
        AND NOT EXISTS (
            SELECT 1 FROM landed AS l WHERE l.source = p.source AND l.name = p.record_id AND l.changed_at >= p.changed_at
        )
        AND NOT EXISTS (
            SELECT 1 FROM landed AS l
            WHERE l.source = p.source AND l.name = COALESCE(p.identity_key, CAST(p.attributes AS VARCHAR))
                AND l.changed_at >= p.changed_at
        )
    UNION ALL
    SELECT p.source, p.input
    FROM published.landing.rejected_events AS p
    WHERE NOT EXISTS (
            SELECT 1 FROM rejected AS r WHERE r.source = p.source AND r.reason = p.reason AND r.name = p.record
        )
        AND NOT EXISTS (
            SELECT 1 FROM rejected AS r
            WHERE r.source = p.source AND r.reason = p.reason AND r.name = CAST(p.payload AS VARCHAR)
        )
),
counted AS (
    SELECT l.source, l.input, COUNT(*) AS records
    FROM lost AS l
    GROUP BY l.source, l.input
)
SELECT p.source, p.input, COALESCE(c.records, 0) AS records
FROM published.landing.inputs AS p
LEFT JOIN counted AS c ON p.source = c.source AND p.input = c.input
WHERE p.input LIKE 'raw/%'
    AND NOT EXISTS (SELECT 1 FROM landing.inputs AS i WHERE i.source = p.source AND i.input = p.input)
ORDER BY p.source, p.input
