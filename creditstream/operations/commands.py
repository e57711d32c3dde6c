"""`faust -A creditstream migrate | audit | dlq | grow | … | load`: what people run beside the worker."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Protocol, TypedDict, Unpack, cast

import click
from aiokafka.errors import KafkaError
from faust.cli.base import AppCommand, argument, option

from creditstream.config.settings import Settings
from creditstream.errors import StartError, Unavailable, Unsendable
from creditstream.operations.arguments import Amount

_COUNT = click.IntRange(0)


class _Host(Protocol):
    """The app on whose command line they stand."""

    @property
    def settings(self) -> Settings: ...


class _Command(AppCommand):
    """Runs a coroutine without Faust's worker around it; what goes wrong is one line on standard error."""

    abstract: ClassVar[bool] = True
    #: What the command does; its result is the exit code.
    work: Callable[..., Coroutine[Any, Any, int]]

    @property
    def settings(self) -> Settings:
        return cast(_Host, self.app).settings

    def __call__(self, *args: object, **options: object) -> Any:
        try:
            raise SystemExit(asyncio.run(self.work(**{**self.kwargs, **options})))
        except (StartError, Unavailable, Unsendable) as error:
            print(f"creditstream: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        except KafkaError as error:
            where = f"Kafka at {self.settings.kafka_brokers} (CREDITSTREAM_KAFKA_BROKERS)"
            print(f"creditstream: {where}: {type(error).__name__}: run it again when Kafka answers", file=sys.stderr)
            raise SystemExit(2) from None


class migrate(_Command):
    """Apply the database migrations that are missing."""

    async def work(self) -> int:
        from creditstream.config.patience import patiently
        from creditstream.store.migrations import migrate as apply

        applied = await patiently(self.settings, lambda: apply(self.settings.postgres_dsn.reveal()))
        print("\n".join(f"applied {name}" for name in applied) or "the database is up to date")
        return 0


class audit(_Command):
    """Reconcile orders, dead letters, PostgreSQL and the status topic. Exit 0 only when nothing is amiss."""

    options = [option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")]

    async def work(self, *, as_json: bool) -> int:
        from creditstream.operations.audit import audit as reconcile
        from creditstream.operations.audit import render

        report = await reconcile(self.settings, progress=not as_json)
        print(render(report, as_json=as_json))
        return 0 if report.clean else 1


class dlq(_Command):
    """Dead letters: list them, show them whole, or replay them: send them on their way again.

    Replaying twice does no harm. Offsets, partition and topic are those where the record first stood. Exit 1 when
    `show` or `replay` find none.
    """

    options = [
        argument("action", type=click.Choice(["list", "show", "replay"])),
        option("--reason", "reasons", multiple=True, help="Only this reason; may be repeated."),
        option("--since", help="Failed at or after this time (ISO 8601; without an offset: UTC)."),
        option("--until", help="Failed before this time."),
        option("--order-id", type=click.UUID, help="Dead letters about this order."),
        option("--topic", help="Origin's topic, by its full name."),
        option("--partition", type=click.IntRange(0), help="Origin's partition."),
        option("--from-offset", type=click.IntRange(0), help="Origin's first offset."),
        option("--to-offset", type=click.IntRange(0), help="Origin's last offset."),
        option("--limit", type=click.IntRange(0), help="list, show: the last so many; default: 20."),
        option("--json", "as_json", is_flag=True, help="list: one JSON object on standard output."),
        option("--unmasked", is_flag=True, help="show: with personal data."),
        option("--all", "everything", is_flag=True, help="replay: without any filter."),
        option("--dry-run", is_flag=True, help="replay: send nothing, say what would be sent."),
        option("--by", help="replay: who does it, for the trace; default: the login name."),
    ]

    async def work(self, *, action: str, **given: object) -> int:
        from creditstream.operations.dlq.command import run

        return await run(self.settings, action, given)


class grow(_Command):
    """More partitions for all topics, while all workers are stopped; producers may go on. Broken off, run it again."""

    options = [
        option("--partitions", type=click.IntRange(1, 1000), required=True, help="How many there are to be."),
        option("--wait", type=Amount(), default=60.0, show_default=True, help="Seconds for the workers to be gone."),
        option("--dry-run", is_flag=True, help="Say what would be done, and whether it can be."),
    ]

    async def work(self, *, partitions: int, wait: float, dry_run: bool) -> int:
        from creditstream.operations.grow.command import run

        return await run(self.settings, partitions, wait=wait, dry_run=dry_run)


class retention(_Command):
    """Drop months that are older than CREDITSTREAM_RETENTION_MONTHS. Safe under load; broken off, run it again."""

    options = [option("--dry-run", is_flag=True, help="Change nothing, say what would be dropped.")]

    async def work(self, *, dry_run: bool) -> int:
        from creditstream.operations.retention.command import run

        return await run(self.settings, dry_run=dry_run)


class forget(_Command):
    """Remove a customer's data: rows, statuses and dead letters. Leaves a trace that holds none of it.

    The customer's id is one line on standard input: an argument would stand in the list of processes. Exit 1 when there
    is nothing of the customer, or something is left to do.
    """

    options = [
        option("--customer", help="The customer's id; without it, or with `-`: standard input."),
        option("--by", default="", help="Who does it, for the trace; default: the login name."),
        option("--wait", type=Amount(), default=60.0, show_default=True, help="Seconds for the workers to catch up."),
        option("--dry-run", is_flag=True, help="Change nothing, say how much there is."),
    ]

    async def work(self, *, customer: str | None, by: str, wait: float, dry_run: bool) -> int:
        from creditstream.operations.forget.command import run

        return await run(self.settings, customer, by=by, wait=wait, dry_run=dry_run)


class restore(_Command):
    """PostgreSQL was taken back: bring back what was published since. Beside workers; broken off, run it again."""

    options = [option("--dry-run", is_flag=True, help="Change nothing, say what would be restored.")]

    async def work(self, *, dry_run: bool) -> int:
        from creditstream.operations.restore.command import run

        return await run(self.settings, dry_run=dry_run)


class _Load(TypedDict):
    """As `creditstream.simulation.load.run_load` takes them."""

    count: int
    rate: float
    duplicates: int
    conflicts: int
    malformed: int
    seed: int
    keyed: bool


class load(_Command):
    """Send orders to the orders topic: a seeded mix, as fast as asked."""

    options = [
        option("--count", type=_COUNT, default=1_000, show_default=True, help="Distinct orders."),
        option("--rate", type=Amount(), default=0.0, show_default=True, help="Records per second; 0: no limit."),
        option("--duplicates", type=_COUNT, default=0, show_default=True, help="Records that repeat an order."),
        option("--conflicts", type=_COUNT, default=0, show_default=True, help="Records with a used id, other content."),
        option("--malformed", type=_COUNT, default=0, show_default=True, help="Records that are no orders."),
        option("--seed", type=int, default=1, show_default=True, help="The same seed sends the same orders."),
        option("--keyed", is_flag=True, help="Key each record with its order id; otherwise null keys."),
    ]

    async def work(self, **options: Unpack[_Load]) -> int:
        from creditstream.simulation.load import run_load

        sent = await run_load(self.settings, **options)
        print(", ".join(f"{count} {kind}" for kind, count in sent.items()))
        return 0
