"""Faults of what waits, and of who gets a place, as patches of the product's code."""

from typing import Any

from creditstream.kafka.consumer_thread import InOrderThread
from creditstream.kafka.publisher import Publisher
from creditstream.kafka.topics import ORDERS_RETRY, topic_name
from creditstream.kafka.watchdog import Standing
from creditstream.order.backpressure import Backpressure
from creditstream.order.flights import Flights
from creditstream.order.waiting_room import WaitingRoom
from creditstream.risk.guarded import GuardedRisk
from creditstream.worker.liveness import Liveness, Orders
from tests.chaos.put_in import put_in

#: Times `max_in_flight`: the orders that a worker once let wait.
_ROOM = 10


def a_full_room_holds_up_the_rest() -> None:
    """What is due now waits on the topic behind those that wait for an hour, once they fill the room."""

    def has_room(self: WaitingRoom) -> bool:
        return len(self._delayed) < _ROOM * self._backpressure._most

    put_in(WaitingRoom, "has_room", has_room)


def a_stuck_retry_topic_is_unseen() -> None:
    """While anything waits on `orders-retry` on purpose, nobody looks whether the topic gets on."""

    def standings(self: Liveness, orders: Orders) -> dict[Any, Standing]:
        retry_topic, waiting = topic_name(self._settings, ORDERS_RETRY), len(orders.retries._waiting_room)
        found = self._app.group.standings()
        return {(tp, ""): standing for tp, standing in found.items() if not waiting or tp.topic != retry_topic}

    put_in(Liveness, "_standings", standings)


def repeats_take_no_place() -> None:
    """Records that join an order in flight are not counted: there may be any number of them."""
    put_in(Flights, "held", property(lambda self: len(self)))


def one_topic_takes_every_place() -> None:
    """Whoever asks first when a place is free has it: of two topics with a backlog it is always the same one."""

    async def room(self: Backpressure) -> None:
        await self.until(self.has_room)

    put_in(Backpressure, "room", room)


def leaders_that_know_no_topics() -> None:
    """The group's leader gives out the partitions that it knows: none, just after Kafka has come back."""
    put_in(InOrderThread, "_assign_known_topics_only", lambda self, coordinator: None)


def a_status_waits_for_ever() -> None:
    """Who publishes through a producer that is thrown away is not told."""
    put_in(Publisher, "publish", Publisher._publish_all)


def every_order_is_asked_about_twice() -> None:
    """The first score is passed over (I6)."""
    assess = GuardedRisk.assess

    async def twice(self: GuardedRisk, *given: Any, **options: Any) -> Any:
        await assess(self, *given, **options)
        return await assess(self, *given, **options)

    put_in(GuardedRisk, "assess", twice)
