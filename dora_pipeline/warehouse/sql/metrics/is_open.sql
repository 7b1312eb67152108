-- Whether failures f, which began on one day and were restored on one, are open at the end of the period p, or now, whichever
-- is earlier.
f.day <= p.last_day AND COALESCE(f.restored_day, DATE '9999-12-31') > p.last_day
AND p.open_at IS NOT NULL AND (p.source IS NULL OR p.source = f.source)
