-- What can be known of a time, which the statement calls p: it starts at starts_at, and what happened before counted_until is
-- counted. Counts are known once their event type has begun, and rates over both types only where both began before it.
COALESCE(p.deployments_since < p.counted_until, FALSE) AS are_deployments_known,
COALESCE(p.failures_since < p.counted_until, FALSE) AS are_failures_known,
COALESCE(p.links_since < p.counted_until, FALSE) AS are_links_known,
COALESCE(p.deployments_since <= p.starts_at AND p.failures_since <= p.starts_at, FALSE) AS are_rates_known
