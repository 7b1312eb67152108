-- metrics.measures of a part: what was left behind is NULL.
SELECT
    c.measure, c.seconds, c.day, c.service, c.env, c.team,
    CAST(NULL AS VARCHAR) AS repository_id,
    CAST(NULL AS VARCHAR) AS source,
    CAST(NULL AS VARCHAR) AS severity,
    CAST(NULL AS VARCHAR[]) AS tags,
    c.event_id, c.occurred_at
FROM metrics.counted AS c
