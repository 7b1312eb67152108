-- Exports of which nothing can be taken, with the reason: damaged ones, and tables without the columns that a sighting needs.
SELECT
    r.input AS name, r.source,
    CASE
        WHEN r.reason = 'column_missing' THEN 'it has no column for ' || array_to_string(CAST(r.payload -> '$.missing' AS VARCHAR[]), ', ')
        ELSE r.payload ->> '$.error'
    END AS reason
FROM landing.rejected_events AS r
WHERE r.source = 'apm_deployment_tracking' AND r.reason IN ('file_unreadable', 'document_too_large', 'column_missing')
ORDER BY r.input
