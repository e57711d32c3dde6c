"""What travels: orders, assessments, decisions, statuses and dead letters, as strict msgspec structs."""
