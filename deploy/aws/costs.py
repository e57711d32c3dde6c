"""What a size needs and costs, from what was measured: `python -m deploy.aws.costs`.

`--write` puts it into docs/reference/sizes.md.

`prices.toml` holds what is counted with, `creditstream.yaml` the sizes; a test says when the document differs.
"""

import sys
import tomllib
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from creditstream.config.settings import Settings
from deploy.aws.template import FOLDER, ROOT, templates

DOCUMENT = FOLDER.parents[1] / "docs" / "reference" / "sizes.md"
SIZES = ("50", "500", "5000")
_GIB, _GB = 2**30, 10**9
_DAY, _HOURS, _DAYS_OF_MONTH = 86_400, 730, 365 / 12
_ZONES = 3
#: With a third of the workers gone, the others do it all.
_WITHOUT_A_ZONE = _ZONES / (_ZONES - 1)
#: A worker has one thread: it is to be busy half the time.
_BUSY = 0.5
_NODE_DISK = 40


class Needs(NamedTuple):
    """Of one size. Disks in GiB, each; `iops`: of PostgreSQL at the full rate; `cores`: of all workers together."""

    rate: int
    mean: float
    cores: float
    in_flight: float
    workers: int
    partitions: int
    database_cores: float
    database_disk: float
    iops: int
    broker_disk: float
    worker_disk: float

    @property
    def claim(self) -> str:
        """A worker's volume, as Kubernetes writes it."""
        return f"{10 * ceil(self.worker_disk / 10)}Gi"

    @property
    def millions(self) -> float:
        """Orders of a month."""
        return self.mean * _DAY * _DAYS_OF_MONTH / 1e6


def facts() -> dict[str, Any]:
    return tomllib.loads((FOLDER / "prices.toml").read_text())


def needs(size: str) -> Needs:
    given = facts()
    m, a = given["measured"], given["assumed"]
    rate, mean = int(size), int(size) * a["mean_share"]
    cores, in_flight = rate * m["worker_cpu_us"][size] / 1e6, rate * a["bureau_seconds"]
    alone = max(cores / _BUSY, in_flight / Settings().risk_concurrency)
    workers = _ZONES * ceil(max(1.0, alone * _WITHOUT_A_ZONE / _ZONES))
    kept = mean * _DAY * (a["months_kept"][size] + 1) * 31
    recent = mean * _DAY * a["topic_days"]
    statuses, seen = kept * m["status_bytes"], recent * m["seen_bytes"]
    return Needs(
        rate=rate,
        mean=mean,
        cores=cores,
        in_flight=in_flight,
        workers=workers,
        partitions=4 * workers,
        database_cores=rate * m["postgres_cpu_us"][size] / 1e6,
        database_disk=kept * m["row_bytes"] * a["headroom"] / _GIB,
        iops=rate * a["random_pages"],
        broker_disk=(recent * (m["orders_bytes"] + m["by_id_bytes"]) + statuses + seen) * a["headroom"] / _GIB,
        # All of the table on each: what a partition leaves behind when it moves away stays, and restarts move them.
        worker_disk=recent * m["table_seen_bytes"] * a["headroom"] / _GIB,
    )


def has(size: str) -> dict[str, Any]:
    """What the template takes for a size."""
    return dict(templates()[ROOT]["Mappings"]["Sizes"][size])


def month(size: str) -> dict[str, float]:
    """US dollars, by what they are for."""
    given, need, taken = facts(), needs(size), has(size)
    p = given["prices"]
    each = p["month"]
    kinds = [one["Type"] for file in templates().values() for one in file["Resources"].values()]
    zone, outside = traffic(need)
    return {
        "MSK": _ZONES * (p["broker"][taken["Broker"]] * _HOURS + taken["BrokerDisk"] * each["broker_disk"]),
        "RDS, both zones and the replica": _ZONES
        * (
            p["database"][taken["Database"]] * _HOURS
            + taken["DatabaseDisk"] * each["database_disk"]
            + max(0, taken["DatabaseIops"] - included_iops(taken["DatabaseDisk"])) * each["database_iops"]
        ),
        "ElastiCache": 2 * p["cache"][taken["Cache"]] * _HOURS,
        "EKS, nodes, volumes": (p["eks"] + taken["Nodes"] * p["node"][taken["Node"]]) * _HOURS
        + (taken["Nodes"] * _NODE_DISK + need.workers * need.worker_disk) * each["volume"],
        "NAT gateways": _ZONES * p["nat"] * _HOURS + outside * p["gb"]["nat"],
        "between zones": zone * p["gb"]["zone"],
        "secrets, key, alarms": kinds.count("AWS::SecretsManager::Secret") * each["secret"]
        + kinds.count("AWS::KMS::Key") * each["key"]
        + kinds.count("AWS::CloudWatch::Alarm") * each["alarm"],
    }


def included_iops(disk: int) -> int:
    """gp3 under RDS for PostgreSQL."""
    return 12_000 if disk >= 400 else 3_000


def traffic(need: Needs) -> tuple[float, float]:
    """GB of a month: to another zone, as two of three brokers are there; and to the risk API."""
    given = facts()
    m = given["measured"]
    written = m["by_id_bytes"] + m["status_bytes"] + m["seen_bytes"]
    # Each worker's page follows all statuses.
    read = m["orders_bytes"] + m["by_id_bytes"] + m["status_bytes"] * need.workers
    orders = need.millions * 1e6
    return orders * (written + read) * 2 / 3 / _GB, orders * given["assumed"]["call_bytes"] / _GB


def tables() -> str:
    every = [needs(size) for size in SIZES]
    taken, months = [has(size) for size in SIZES], [month(size) for size in SIZES]
    lines = [_row("orders/s at the peak", (f"**{one.rate:,}**" for one in every)), "| --- |" + " --- |" * len(SIZES)]
    lines += [
        _row("the month's mean", (f"{one.mean:,.0f}" for one in every)),
        _row("cores of all workers", (f"{one.cores:.2f}" for one in every)),
        _row("risk calls in flight", (f"{one.in_flight:,.0f}" for one in every)),
        _row("`replicas`", (str(one.workers) for one in every)),
        _row("`settings.partitions`", (str(one.partitions) for one in every)),
        _row("`persistence.size`", (one.claim for one in every)),
        _row("cores of PostgreSQL", (f"{one.database_cores:.2f}" for one in every)),
        _row("its disk needs, GiB", (f"{one.database_disk:,.0f}" for one in every)),
        _row("its IOPS, at worst", (f"{one.iops:,}" for one in every)),
        _row("a broker's disk needs, GiB", (f"{one.broker_disk:,.0f}" for one in every)),
        _row("brokers", (f"3 × {one['Broker']}, {one['BrokerDisk']:,} GiB" for one in taken)),
        _row("PostgreSQL", (f"{one['Database']}, {one['DatabaseDisk']:,} GiB" for one in taken)),
        _row("Redis", (f"2 × {one['Cache']}" for one in taken)),
        _row("nodes", (f"{one['Nodes']} × {one['Node']}" for one in taken)),
    ]
    lines += [_row(f"{what}, $ a month", (f"{one[what]:,.0f}" for one in months)) for what in months[0]]
    totals = [sum(one.values()) for one in months]
    lines.append(_row("**all, $ a month**", (f"**{total:,.0f}**" for total in totals)))
    per_million = [total / one.millions for total, one in zip(totals, every, strict=True)]
    lines.append(_row("**$ per million orders**", (f"**{price:,.2f}**" for price in per_million)))
    return "\n".join(lines)


def prices() -> str:
    given = facts()
    p, sources = given["prices"], given["sources"]
    rows = [
        (kind, name, price, "h") for kind in ("node", "broker", "database", "cache") for name, price in p[kind].items()
    ]
    rows += [(kind, kind, p[kind], "h") for kind in ("eks", "nat")]
    lines = ["| | $ | per |", "| --- | --- | --- |"]
    lines += [f"| [{name}]({sources[kind]}) | {price:g} | {per} |" for kind, name, price, per in rows]
    lines += [f"| {name.replace('_', ' ')} | {price:g} | month |" for name, price in p["month"].items()]
    lines += [
        f"| to {'another zone' if name == 'zone' else 'the NAT gateway'} | {price:g} | GB |"
        for name, price in p["gb"].items()
    ]
    return "\n".join(lines)


def filled(document: str) -> str:
    """The document with its two tables as they are to be."""
    for name, table in (("sizes", tables()), ("prices", prices())):
        before, begin, rest = document.partition(f"<!-- costs.py: {name} -->\n")
        _, end, after = rest.partition("<!-- /costs.py -->")
        if not (begin and end):
            raise ValueError(f"{DOCUMENT}: no place for the table of {name}")
        document = f"{before}{begin}{table}\n{end}{after}"
    return document


def _row(head: str, cells: Any) -> str:
    return f"| {head} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        DOCUMENT.write_text(filled(Path(DOCUMENT).read_text()))
    else:
        print(tables(), prices(), sep="\n\n")
