-- What open failures are counted from, of those that pass a filter: of any day, for one can be open for years.
SELECT
    m.failure_id, m.service, m.env, m.team,
    CAST(NULL AS VARCHAR) AS repository_id,
    CAST(NULL AS VARCHAR) AS source,
    CAST(NULL AS VARCHAR) AS severity,
    CAST(NULL AS VARCHAR[]) AS custom_tags,
    m.started_at, m.finished_at, m.restored_day, m.is_selected, m.day
FROM (
    SELECT f.*, f.custom_tags AS tags
    FROM {source}.core.failures AS f
    WHERE f.is_selected AND f.day <= {last_day} AND (f.finished_at IS NULL OR f.restored_day > {first_day})
) AS m
WHERE {passes}
