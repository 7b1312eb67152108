-- Whether the failure f can be open at the end of a period of the days from from_day to to_day. One that is told a little
-- early is not open before it starts.
f.is_selected AND f.started_at <= NOW() AND f.day <= CAST(to_day AS DATE) AND COALESCE(f.restored_day, DATE '9999-12-31') > CAST(from_day AS DATE)
