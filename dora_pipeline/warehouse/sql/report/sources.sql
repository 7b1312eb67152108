-- The sources that are selected now: since when they count, and their last reading.
SELECT s.event_type, s.source, s.priority, s.first_selected_at, t.read_at, t.error
FROM core.source_selections AS s
LEFT JOIN landing.source_states AS t ON s.source = t.source
WHERE s.is_selected AND s.unselected_at IS NULL
ORDER BY s.event_type, s.priority
