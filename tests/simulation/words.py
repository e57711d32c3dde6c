"""What each kind of event is called in a story."""

FAULTS = {
    "kill": "worker {worker} is killed, and started again {lasts} later",
    "kill_and_lose_disk": "worker {worker} is killed and its disk is lost; started again {lasts} later",
    "kill_and_damage_disk": "worker {worker} is killed and its tables are damaged; started again {lasts} later",
    "stop": "worker {worker} is told to stop, and started again {lasts} later",
    "freeze": "worker {worker} is frozen for {lasts}",
    "join": "another worker joins",
    "cut_off": "worker {worker} loses all its connections to Kafka",
    "clock_back": "the wall clock of worker {worker} is put back by {lasts}",
    "clock_ahead": "the wall clock of worker {worker} is put forward by {lasts}",
    "kafka_away": "Kafka is away for {lasts}",
    "kafka_frozen": "Kafka is frozen for {lasts}",
    "kafka_loses_answers": "Kafka's answers are lost for {lasts}: {share} of them",
    "kafka_loses_requests": "requests to Kafka are lost for {lasts}: {share} of them",
    "kafka_takes_no_records": "Kafka has too few replicas to take records, for {lasts}",
    "kafka_takes_no_marks": "Kafka has too few replicas of what was seen to take marks, for twice {lasts}",
    "kafka_takes_no_retries": "Kafka has too few replicas of orders-retry to take records, for twice {lasts}",
    "kafka_forbids_records": "nobody has the right to write to Kafka, for {lasts}",
    "kafka_forgets_topics": "Kafka is away for {lasts}, and knows its topics only as long after that",
    "kafka_gives_no_retries": "Kafka gives nobody a record of orders-retry, for {lasts}",
    "kafka_tells_no_ends": "Kafka does not tell where the logs of topic {worker} begin and end, for five times {lasts}",
    "slow_network": "{share} of what goes through the network is late, for {lasts}",
    "postgres_away": "PostgreSQL is away for {lasts}",
    "postgres_fails_over": "PostgreSQL's primary is lost, and its standby is promoted {lasts} later",
    "disk_full": "the disk of worker {worker} is full for {lasts}",
    "postgres_read_only": "PostgreSQL is read-only for {lasts}",
    "postgres_loses_answers": "PostgreSQL's answers are lost for {lasts}, {share} of them, after the commit",
    "postgres_slow": "PostgreSQL is slow for {lasts}",
    "risk_fails": "{share} of the calls of the risk API fail, for {lasts}",
    "risk_hangs": "the risk API does not answer for {lasts}",
    "risk_breaks": "the risk API breaks every connection, for {lasts}",
    "risk_talks_nonsense": "the risk API answers with a page of HTML, for {lasts}",
    "risk_asks_to_wait": "the risk API refuses calls for {lasts}, {share} of 600, and asks to wait for a minute",
    "risk_slow": "the risk API takes {share} of a second for each answer, for {lasts}",
    "repeats": "a producer repeats its last order {share} of 500 times",
    "busy": "the workers' machines are busy for {lasts}: each stands still for moments",
    "stray": "a library cancels one of the loops of worker {worker}",
    "log_start_moves": "what was committed is removed from the beginning of the logs",
    "log_is_cut": "Kafka loses the last records of a partition that it had taken",
    "open_transaction": "a producer leaves a transaction open for {lasts}, then commits it",
    "aborted_transaction": "a producer aborts a transaction",
}
#: What may happen beside those, in some worlds.
RARE = {
    "kafka_takes_only_small": "Kafka takes no batch of more than 3,000 bytes, for {lasts}",
    "kafka_forbids_reading": "nobody has the right to read from Kafka, for {lasts}",
    "disk_damaged": "the tables of worker {worker} are damaged while they are in use",
    "unforeseen": "{share} of 10 records have an error that nobody foresaw, within {lasts}",
    "old_repeats": "a producer repeats {share} of the orders that came so far",
    "strange_batch": "a producer sends a batch that not every client can read",
}
#: PostgreSQL comes back older than it was. Operators then run `restore`, when a worker says so.
LOSSES = {
    "postgres_loses_commits": "PostgreSQL fails over at once, and the commits of the last {lasts} are lost",
    "postgres_is_restored": "PostgreSQL is away, and comes back as it was {lasts} before",
}
#: Commands that operators run, and run again until they are done.
COMMANDS = {
    "forget": "an operator has a customer forgotten",
    "replay": "an operator sends all dead letters again",
    "grow": "an operator stops all workers, adds partitions, and starts them again",
    "retention": "an operator has old months dropped",
}
ALL = FAULTS | RARE | LOSSES | COMMANDS
