-- The failures that pass a filter and are of the days that are asked for, or were restored or open in them: of any day, for
-- one can be open for years.
SELECT
    {filtered.columns},
    CAST(NULL AS VARCHAR) AS severity,
    m.failure_id, m.started_at, m.finished_at, m.time_to_restore_seconds, m.restored_day, m.is_selected
FROM (
    SELECT f.*, f.custom_tags AS tags
    FROM {source}.core.failures AS f
    WHERE f.is_selected AND f.day <= {last_day}
        AND (f.finished_at IS NULL OR f.restored_day >= {first_day} OR f.day >= {first_day})
) AS m
WHERE {passes}
