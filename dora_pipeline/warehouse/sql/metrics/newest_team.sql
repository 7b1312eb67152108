-- The team of the newest row of metrics.measures in a group, called m, that has one; of those of one moment, of the first id.
MIN_BY(m.team, ROW(-EPOCH_US(m.occurred_at), m.event_id)) FILTER (WHERE m.team IS NOT NULL)
