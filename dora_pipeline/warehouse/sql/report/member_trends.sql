-- The figure that the ranking is sorted by, of each service, or team, of an environment by period.
SELECT s.member, {report.sorted_figure} AS figure
FROM metrics.summary_by($dimension, $grain, $from_day, $to_day) AS s
WHERE s.env IS NOT DISTINCT FROM $env
ORDER BY s.member, s.period
