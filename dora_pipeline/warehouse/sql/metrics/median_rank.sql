-- metrics.median_rank(n): the place, from 1, of the lower end of the order-statistic 95 % interval of a median of n sorted
-- values; its upper end is at n + 1 - place. NULL below 6 values. It equals the exact binomial one for 6 to 2,000 values.
CREATE OR REPLACE MACRO metrics.median_rank(n) AS
    CASE WHEN n >= 6 THEN CAST(FLOOR((n + 1) / 2.0 - 0.979981992270027 * SQRT(n - 0.45)) AS BIGINT) END
