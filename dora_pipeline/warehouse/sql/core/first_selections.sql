-- When each source was selected first.
SELECT s.source, MIN(s.first_selected_at) AS first_selected_at
FROM core.source_selections AS s
GROUP BY s.source
