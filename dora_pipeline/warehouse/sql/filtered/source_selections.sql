-- The selected sources that a filter is about, and those whose failures are linked to deployments: of every source.
SELECT s.event_type, s.source, s.first_selected_at, s.is_selected
FROM {source}.core.source_selections AS s
WHERE {is_selected}
UNION ALL
SELECT 'linked_failure' AS event_type, s.source, s.first_selected_at, s.is_selected
FROM {source}.core.source_selections AS s
WHERE s.is_selected AND s.event_type = 'failure'
