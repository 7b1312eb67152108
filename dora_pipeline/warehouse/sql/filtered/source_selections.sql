-- The selected sources that a filter is about.
SELECT s.event_type, s.source, s.first_selected_at, s.is_selected
FROM {source}.core.source_selections AS s
WHERE {is_selected}
