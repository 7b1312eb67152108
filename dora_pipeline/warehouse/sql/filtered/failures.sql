-- The failures that pass a filter and are of the days that are asked for, or were restored or open in them: of any day, for
-- one can be open for years. What only the filter needs is left behind.
SELECT
    m.failure_id,
    CAST(NULL AS VARCHAR) AS source,
    CAST(m.service AS metrics.service_name) AS service,
    CAST(m.env AS metrics.env_name) AS env,
    CAST(m.team AS metrics.team_name) AS team,
    CAST(NULL AS VARCHAR) AS repository_id,
    CAST(NULL AS VARCHAR) AS severity,
    CAST(NULL AS VARCHAR[]) AS custom_tags,
    m.started_at, m.finished_at, m.time_to_restore_seconds, m.restored_day, m.is_selected, m.day
FROM (
    SELECT f.*, f.custom_tags AS tags
    FROM {source}.core.failures AS f
    WHERE f.is_selected AND f.day <= {last_day}
        AND (f.finished_at IS NULL OR f.restored_day >= {first_day} OR f.day >= {first_day})
) AS m
WHERE {passes}
