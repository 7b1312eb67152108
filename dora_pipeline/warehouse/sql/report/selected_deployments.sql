-- The deployments of selected sources, with the columns that a filter asks.
SELECT d.*, d.custom_tags AS tags, CAST(NULL AS VARCHAR) AS severity
FROM core.deployments AS d
WHERE d.is_selected
