-- Event types of which no source is selected now, and since when one of the other type is.
SELECT t.event_type, (SELECT MIN(o.first_selected_at) FROM core.source_selections AS o WHERE o.is_selected) AS other_since
FROM (SELECT 'deployment' AS event_type UNION ALL SELECT 'failure' AS event_type) AS t
LEFT JOIN core.source_selections AS s ON t.event_type = s.event_type AND s.is_selected
WHERE s.source IS NULL
ORDER BY t.event_type
