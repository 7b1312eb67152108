-- The services, or teams, that have an event since $since_day in one of the environments $envs ('' stands for none), by their
-- figures of the days from $from_day to $to_day: those of the first environment first, sorted by the figure that $sort names,
-- the largest first; those of fewer than 6 events follow, and then those without a figure. $most of them after the first
-- $skipped, each with how many there are in all.
SELECT x.env, x.member, COUNT(*) OVER () AS members
FROM (
    SELECT
        s.env, CASE WHEN s.dimension = 'team' THEN s.team ELSE s.service END AS member, s.deployments,
        LIST_POSITION($envs, COALESCE(CAST(s.env AS VARCHAR), '')) AS place,
        {report.sorted_figure} AS figure,
        CASE $sort
            WHEN 'lead_time' THEN s.lead_time_commits
            WHEN 'restore' THEN s.restores
            WHEN 'recovery' THEN s.recoveries
            WHEN 'deployments' THEN 6
            WHEN 'open' THEN 6
            ELSE s.deployments
        END AS events
    FROM (
        {report.figures}
    ) AS s
    -- Failures without a service have a row for each team.
    WHERE s.dimension = 'team' OR s.service IS NOT NULL
) AS x
WHERE x.place > 0
ORDER BY
    x.place, CASE WHEN x.figure IS NULL THEN 2 WHEN COALESCE(x.events, 0) < 6 THEN 1 ELSE 0 END,
    x.figure DESC, COALESCE(x.deployments, 0) DESC, COALESCE(x.member, ''), x.member
LIMIT $most OFFSET $skipped
