-- The services, or teams, of an environment in the days from $from_day to $to_day, sorted by the figure that $sort names, the
-- largest first; those of fewer than 6 events follow, and then those without a figure. $most of them after the first $skipped,
-- each with how many there are in all.
SELECT x.member, COUNT(*) OVER () AS members
FROM (
    SELECT
        CASE WHEN s.dimension = 'team' THEN s.team ELSE s.service END AS member, s.deployments,
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
    WHERE s.env IS NOT DISTINCT FROM $env
        -- Failures without a service have a row for each team.
        AND (s.dimension = 'team' OR s.service IS NOT NULL)
) AS x
ORDER BY
    CASE WHEN x.figure IS NULL THEN 2 WHEN COALESCE(x.events, 0) < 6 THEN 1 ELSE 0 END,
    x.figure DESC, COALESCE(x.deployments, 0) DESC, COALESCE(x.member, ''), x.member
LIMIT $most OFFSET $skipped
