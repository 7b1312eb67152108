-- The figure that the ranking is sorted by, of each service, or team, of each environment by period.
SELECT s.env, s.member, {report.sorted_figure} AS figure
FROM metrics.summary_by($dimension, $grain, $from_day, $to_day) AS s
ORDER BY s.env, s.member, s.period
