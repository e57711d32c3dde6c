"""Errors. The class says what to do: stop at start, try again, or give the order another outcome."""


class StartError(Exception):
    """The program cannot start: one line for a person that names what is wrong and the setting. Exit code 2."""


class Unavailable(Exception):
    """A service did not answer: back off and try the same again; nothing is acknowledged meanwhile."""


class StoreUnavailable(Unavailable):
    """PostgreSQL is away, restarting, or cut the connection."""


class StoreRefused(StoreUnavailable):
    """PostgreSQL or we do not trust the other: a certificate, a password. At a start, nothing to wait for."""


class StoreUseless(StoreUnavailable):
    """PostgreSQL answers, and this server or database cannot take an order. The text says so by itself."""


class StoreTakenBack(StoreUseless):
    """PostgreSQL lacks commits that were published: `restore` has to run. The text says so by itself."""


class BrokerUnavailable(Unavailable):
    """Kafka did not take a record within its time-out."""


class Unsendable(Exception):
    """Kafka will never take this record as it is: it is too large for its topic, or cannot be written as a record."""


class Fenced(Exception):
    """Partitions may have moved to another worker: look again at what is still ours before publishing."""


class RiskUnavailable(Unavailable):
    """The risk API did not give an answer within the order's deadline; it may later, after `retry_after` seconds."""

    def __init__(self, message: str, attempts: int = 1, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.attempts = attempts
        self.retry_after = retry_after


class RiskRefused(Exception):
    """The risk API will never score this order (400, 404, 422)."""


class RiskUnusable(Exception):
    """The risk API answered about this order, and there is no score in it that we may use: a person must look.

    `reasons` and `model_version` are the answer's own, as far as they can be kept. `may_be_anothers`: it does not say
    clearly that it is about this order, and nothing of it is kept.
    """

    def __init__(
        self,
        message: str,
        reasons: tuple[str, ...] = (),
        model_version: str | None = None,
        *,
        may_be_anothers: bool = False,
    ) -> None:
        super().__init__(message)
        self.reasons, self.model_version = reasons, model_version
        self.may_be_anothers = may_be_anothers
