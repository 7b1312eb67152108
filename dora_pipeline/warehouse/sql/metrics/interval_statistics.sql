-- What intervals take beside metrics.statistics: the ends of that of the median.
LIST_SORT(LIST(m.seconds) FILTER (WHERE m.seconds IS NOT NULL AND m.measure IN ('deployment', 'restore', 'recovery')))[
    metrics.median_rank(COUNT(m.seconds))
] AS p50_low_seconds,
LIST_SORT(LIST(m.seconds) FILTER (WHERE m.seconds IS NOT NULL AND m.measure IN ('deployment', 'restore', 'recovery')))[
    COUNT(m.seconds) + 1 - metrics.median_rank(COUNT(m.seconds))
] AS p50_high_seconds
