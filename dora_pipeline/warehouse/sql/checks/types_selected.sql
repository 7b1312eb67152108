-- Event types of which no source is selected now, and since when one of the other type is.
SELECT t.event_type, MIN(s.first_selected_at) AS other_since
FROM (SELECT 'deployment' AS event_type UNION ALL SELECT 'failure' AS event_type) AS t
LEFT JOIN core.source_selections AS s ON s.is_selected
GROUP BY t.event_type
HAVING COUNT(CASE WHEN s.event_type = t.event_type THEN 1 END) = 0
ORDER BY t.event_type
