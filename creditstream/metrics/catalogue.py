"""Every metric: name, type, unit, meaning, labels and the values that they may have. Nothing is measured outside it."""

from creditstream.metrics.metric import Label, Metric
from creditstream.metrics.words import CALL, LETTER, OUTCOME

_TOPIC = Label("topic", ("orders", "orders-by-id", "orders-retry"))
_PARTITION = Label("partition")
#: Up to what orders-retry waits for; 5 s is what the burn-rate alerts count by.
_LATENCY = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 86400.0)
_CALL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_FLUSH_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_FLUSH_ORDERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_PAUSE = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# -- counted or observed where it happens

LATENCY = Metric(
    "order_latency_seconds",
    "histogram",
    "seconds",
    "from the time of an order's first record in Kafka until it was accepted by the pipeline, its decision was "
    "committed, its status was published; orders that were parked count once, when they are decided",
    (Label("stage", ("accepted", "committed", "published")),),
    _LATENCY,
)
RISK_SECONDS = Metric(
    "risk_call_seconds", "histogram", "seconds", "one call of the risk API, answered or not", (), _CALL_SECONDS
)
FLUSH_SECONDS = Metric(
    "flush_seconds",
    "histogram",
    "seconds",
    "one flush: PostgreSQL's commit, the status records' publishing, the `seen` marks; repeats included",
    (Label("step", ("commit", "publish", "mark")),),
    _FLUSH_SECONDS,
)
_STEPS = Label("step", ("commit", "publish"))
FLUSH_ORDERS = Metric("flush_orders", "histogram", "orders", "orders in one flush", (_STEPS,), _FLUSH_ORDERS)
PAUSE = Metric(
    "rebalance_pause_seconds",
    "histogram",
    "seconds",
    "from the start of a revoke (orders in flight finish first) until this worker is at work on partitions again",
    (),
    _PAUSE,
)
ORDERS_DONE = Metric(
    "finished_orders",
    "counter",
    "orders",
    "orders whose way in this worker ended: decided, parked on orders-retry, or with a dead letter",
    (Label("outcome", OUTCOME),),
)
DUPLICATES = Metric(
    "duplicate_records",
    "counter",
    "records",
    "deliveries of an order that was known or in flight, with the same content; redeliveries included",
)
LETTERS = Metric(
    "dead_letter_records",
    "counter",
    "records",
    "dead letters by reason; conflicts (a known id with other content) are the reason conflict",
    (Label("reason", LETTER),),
)
RECORD_ERRORS = Metric(
    "record_errors",
    "counter",
    "errors",
    "errors of one record that nobody foresaw, each with its traceback in the log; before the order's commit the "
    "record became a dead letter (unreadable) or, being scored, is tried again; after it the order went on without the "
    "part that failed",
    (Label("step", ("read", "accepted", "looked up", "scored", "committed", "published", "sent")),),
)
RISK_CALLS = Metric("risk_calls", "counter", "calls", "calls of the risk API by outcome", (Label("outcome", CALL),))
STORE_RETRIES = Metric("store_retries", "counter", "retries", "commits that PostgreSQL did not take, made again")
COMMITS = Metric(
    "offset_commits",
    "counter",
    "commits",
    "commits of Kafka offsets; a failed one is made again with newer offsets",
    (Label("outcome", ("committed", "failed")),),
)
WIPED_TABLES = Metric(
    "wiped_partitions",
    "counter",
    "partitions",
    "partitions of a table whose files on this worker's disk were damaged and wiped; the changelog fills them again",
    (Label("table", ("seen",)),),
)
LOST_RETRIES = Metric(
    "lost_retry_records",
    "counter",
    "records",
    "records of orders-retry that Kafka had no more when their time came; their orders stay under review",
)
REBALANCES = Metric("group_rebalances", "counter", "rebalances", "times that this worker's partitions were revoked")
LOG_CUTS = Metric(
    "log_cuts",
    "counter",
    "cuts",
    "times that a log was found cut, or made again, below what was read of it; it is read from its beginning then",
)

# -- read at the moment of the scrape

CALL_REPEATS = Metric("risk_repeat_calls", "counter", "calls", "calls of the risk API that repeat a failed one")
SEEN_MISSING = Metric("seen_missing_records", "gauge", "records", "marks still to be read while `seen` is filled")
CACHE = Metric(
    "cache_lookups",
    "counter",
    "lookups",
    "questions of the dashboard to Redis; error: Redis is away or too slow",
    (Label("outcome", ("hit", "miss", "error")),),
)
PRIMARY = Metric(
    "primary_lookups",
    "counter",
    "lookups",
    "orders that pages asked the primary for, because the read replica may not have them yet, or is away; busy: it was "
    "not asked, as many questions were under way as may be",
    (Label("outcome", ("found", "none", "busy", "error")),),
)
CPU = Metric("cpu_seconds", "counter", "seconds", "processor time of this worker's process")
LAG_RECORDS = Metric(
    "lag_records", "gauge", "records", "records of the partition that are not done", (_TOPIC, _PARTITION)
)
LAG_SECONDS = Metric(
    "lag_seconds",
    "gauge",
    "seconds",
    "age of the oldest record of the partition that is not done, to the exactness of one fetch; 0 when all is done",
    (_TOPIC, _PARTITION),
)
UNFINISHED = Metric(
    "unfinished_records",
    "gauge",
    "records",
    "records delivered to the pipeline that are not yet part of the finished prefix",
    (_TOPIC, _PARTITION),
)
BLOCKING = Metric(
    "blocking_offset_age_seconds",
    "gauge",
    "seconds",
    "for how long the first unfinished record of the slowest partition holds up those behind it; looked at every 5 s; "
    "of orders-retry the first that is due",
)
STUCK = Metric(
    "stuck_partitions",
    "gauge",
    "partitions",
    "partitions with work and no progress for `stuck_after`, or that a producer's open transaction hides for so long",
)
OWNED = Metric("owned_partitions", "gauge", "partitions", "partitions of all source topics that are this worker's")
COMMIT_AGE = Metric(
    "commit_age_seconds",
    "gauge",
    "seconds",
    "since offsets were last committed, while finished records wait for it; else 0",
)
IN_FLIGHT = Metric(
    "in_flight_orders", "gauge", "orders", "orders accepted and not yet done, each repeat that joined one as well"
)
IN_FLIGHT_LIMIT = Metric("in_flight_limit_orders", "gauge", "orders", "orders in flight at most (`max_in_flight`)")
WAITING = Metric("waiting_orders", "gauge", "orders", "orders from orders-retry that wait here for their time")
UNPUBLISHED = Metric("unpublished_orders", "gauge", "orders", "orders committed whose status is not yet published")
UNSENT = Metric("unsent_records", "gauge", "records", "forwards and dead letters that wait for their delivery")
INTAKE = Metric(
    "intake_stopped_state",
    "gauge",
    "",
    "1 while no order is taken: the risk API's circuit is open, or there were too many dead letters, or too many of "
    "the API's answers had no usable score, or PostgreSQL was taken back",
    (Label("reason", ("risk_api", "dead_letters", "unusable_answers", "taken_back")),),
)
BREAKER = Metric(
    "risk_breaker_state",
    "gauge",
    "",
    "1 for the state in which the risk API's circuit breaker is",
    (Label("state", ("closed", "open", "half_open")),),
)
RISK_IN_FLIGHT = Metric("risk_in_flight_calls", "gauge", "calls", "calls of the risk API under way")
RISK_LIMIT = Metric("risk_limit_calls", "gauge", "calls", "calls under way at most, as the limiter has it now")
RISK_WAITING = Metric("risk_waiting_calls", "gauge", "calls", "calls that wait for the limit, the pace or the breaker")
REPLICA_LAG = Metric(
    "replica_lag_seconds",
    "gauge",
    "seconds",
    "how long the read replica takes to have what the primary has; grows while it is away",
)
MONTHS = Metric("partitions_ahead_months", "gauge", "months", "months after this one with a partition, without a gap")
BUILD = Metric("build_info", "gauge", "", "1; the label is this worker's version", (Label("version"),))

CATALOGUE: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
