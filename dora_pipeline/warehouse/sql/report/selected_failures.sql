-- The failures of selected sources, with the columns that a filter asks.
SELECT f.*, f.custom_tags AS tags
FROM core.failures AS f
WHERE f.is_selected
