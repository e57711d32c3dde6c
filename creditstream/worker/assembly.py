"""How a worker's parts are put together from its settings. Wiring, and nothing that runs."""

import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

import stamina.instrumentation

from creditstream.config.patience import KAFKA, patiently
from creditstream.config.settings import Settings
from creditstream.kafka.consumer import InOrderConsumer
from creditstream.kafka.fenced_publisher import StatusPublisher
from creditstream.kafka.published import last_published
from creditstream.kafka.publisher import Publisher
from creditstream.kafka.topics import (
    ORDER_STATUS,
    ORDERS_BY_ID,
    ORDERS_DEAD_LETTER,
    ORDERS_RETRY,
    SEEN_CHANGELOG,
    topic_name,
)
from creditstream.metrics.instruments import Instruments
from creditstream.order.brakes import Brakes
from creditstream.order.dead_letter_limit import DeadLetterLimit
from creditstream.order.finish import Sinks
from creditstream.order.flight import Flight
from creditstream.order.flights import Flights
from creditstream.order.outbox import Outbox
from creditstream.order.pipeline import Pipeline
from creditstream.order.policy import load_policy
from creditstream.order.reception import Limits
from creditstream.order.retry import RetryRule
from creditstream.order.routes import Routes
from creditstream.order.scoring import Scoring
from creditstream.order.settlement import Settlement
from creditstream.risk.guarded import GuardedRisk
from creditstream.store.orders import PostgresStore
from creditstream.worker.retry_topic import KafkaRetryTopic
from tables.seen import Seen


class Services(NamedTuple):
    """The adapters, open."""

    store: PostgresStore
    publisher: Publisher
    risk: GuardedRisk
    statuses: StatusPublisher
    retries: KafkaRetryTopic


async def open_services(
    settings: Settings, metrics: Instruments, group: Callable[[], InOrderConsumer], opened: AsyncExitStack
) -> Services:
    """Called when the worker starts. What is opened is put on `opened` at once. Raises StartError.

    `group`: this worker's membership, which is not there before its consumer starts.
    """
    store = await patiently(settings, lambda: PostgresStore.open(settings))
    opened.push_async_callback(store.close)
    store.expect(await patiently(settings, lambda: last_published(settings), KAFKA))
    publisher = await patiently(settings, lambda: Publisher.open(settings), KAFKA)
    opened.push_async_callback(publisher.close)
    # Its own WARNING for every repeat of a call: with an API that fails, thousands of lines a minute.
    stamina.instrumentation.set_on_retry_hooks([])
    risk = await GuardedRisk.open(settings, on_call=metrics.on_call)
    opened.push_async_callback(risk.close)
    statuses = StatusPublisher(
        lambda may_send: Publisher.open(settings, may_send=may_send), lambda: group().lease_holds()
    )
    opened.push_async_callback(statuses.close)
    retries = KafkaRetryTopic(settings, group)
    opened.push_async_callback(retries.close)
    return Services(store, publisher, risk, statuses, retries)


def build_pipeline(
    settings: Settings,
    partitions: int,
    services: Services,
    seen: Seen,
    metrics: Instruments,
    on_finished: Callable[[Sequence[Flight]], None],
) -> Pipeline:
    """Called once the services are open. `on_finished`: told, once a batch, of orders that are over."""
    routes, brakes = _routes(settings, partitions), _brakes(settings, services)
    flights = Flights(brakes, metrics)
    settlement = _settlement(routes, flights, services, seen, metrics, on_finished)
    return Pipeline(
        limits=Limits(**{name: getattr(settings, name) for name in Limits._fields}),
        routes=routes,
        seen=seen,
        flights=flights,
        scoring=_scoring(settings, services, settlement, metrics),
        settlement=settlement,
        outbox=Outbox(services.publisher),
        retry_topic=services.retries,
        brakes=brakes,
        metrics=metrics,
    )


def _settlement(
    routes: Routes,
    flights: Flights,
    services: Services,
    seen: Seen,
    metrics: Instruments,
    on_finished: Callable[[Sequence[Flight]], None],
) -> Settlement:
    return Settlement(
        routes=routes,
        store=services.store,
        sinks=Sinks(publisher=services.publisher, status_publisher=services.statuses, seen=seen),
        flights=flights,
        lease_holds=services.statuses.lease_holds,
        metrics=metrics,
        on_finished=on_finished,
    )


def _brakes(settings: Settings, services: Services) -> Brakes:
    letters = DeadLetterLimit(
        most=settings.dead_letter_limit, share=settings.dead_letter_share, window=settings.dead_letter_window
    )
    risk, store = services.risk, services.store
    return Brakes(circuit=risk, letters=letters, answers=risk.gate.unusable, database=lambda: store.taken_back)


def _scoring(settings: Settings, services: Services, settlement: Settlement, metrics: Instruments) -> Scoring:
    return Scoring(
        concurrency=settings.risk_concurrency,
        store=services.store,
        risk=services.risk,
        policy=load_policy(settings.policy_file or None),
        retry=_retry_rule(settings),
        settlement=settlement,
        metrics=metrics,
    )


def _retry_rule(settings: Settings) -> RetryRule:
    return RetryRule(
        delay=settings.retry_delay,
        max_turns=settings.retry_max_attempts,
        max_age=settings.retry_max_age,
        longest=settings.retry_max_delay,
        dice=random.random,
    )


def _routes(settings: Settings, partitions: int) -> Routes:
    return Routes(
        partitions=partitions,
        orders_by_id=topic_name(settings, ORDERS_BY_ID),
        order_status=topic_name(settings, ORDER_STATUS),
        orders_retry=topic_name(settings, ORDERS_RETRY),
        orders_dead_letter=topic_name(settings, ORDERS_DEAD_LETTER),
        seen_changelog=topic_name(settings, SEEN_CHANGELOG),
    )
