-- metrics.wilson_low(k, n): the lower end of the Wilson 95 % interval of k of n, without correction; NULL for n = 0.
CREATE OR REPLACE MACRO metrics.wilson_low(k, n) AS
    -- Rounding must not lead out of 0 to 1.
    CASE WHEN n > 0 THEN GREATEST(0.0,
        (
            CAST(k AS DOUBLE) / n + 1.920729410347062 / n
            - 1.959963984540054 * SQRT(CAST(k AS DOUBLE) / n * (1 - CAST(k AS DOUBLE) / n) / n + 0.960364705173531 / n / n)
        ) / (1 + 3.841458820694124 / n)
    ) END
