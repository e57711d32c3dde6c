"""The Dockerfile keeps its rules, and installs what the lock says and nothing else."""

import re
import subprocess

from tests.support import hadolint
from tests.support.servers import ROOT

TEXT = (ROOT / "Dockerfile").read_text()
LINES = [line for line in re.sub(r"\\\n\s*", "", TEXT).splitlines() if line and not line.startswith("#")]
LAST_STAGE = LINES[max(number for number, line in enumerate(LINES) if line.startswith("FROM")) :]


def of(instruction: str, lines: list[str] = LAST_STAGE) -> list[str]:
    return [line.removeprefix(instruction).strip() for line in lines if line.startswith(instruction + " ")]


def test_hadolint_has_nothing_to_say() -> None:
    command = [hadolint.binary(), "--no-color", "--failure-threshold", "style", str(ROOT / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_two_stages_of_one_pinned_image() -> None:
    images = {line.split()[0] for line in of("FROM", LINES)}
    assert len(of("FROM", LINES)) == 2
    assert len(images) == 1 and re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", images.pop())


def test_it_does_not_run_as_root() -> None:
    assert of("USER") == ["10001:10001"]
    before_user = LAST_STAGE[: LAST_STAGE.index("USER 10001:10001")]
    assert not [line for line in LAST_STAGE[len(before_user) :] if line.startswith(("RUN", "COPY"))]


def test_the_worker_itself_gets_the_signals() -> None:
    assert of("ENTRYPOINT") == ['["faust", "-A", "creditstream"]']
    assert of("CMD") == ['["worker"]'] and of("STOPSIGNAL") == ["SIGTERM"]


def test_only_the_data_directory_is_written() -> None:
    (volume,) = of("VOLUME")
    assert f"CREDITSTREAM_DATA_DIR={volume}/data" in " ".join(of("ENV"))


def test_no_tools_and_no_secrets_are_left_in_it() -> None:
    assert [line for line in of("COPY") if not line.startswith("--from=build")] == []
    assert "pip uninstall --yes pip" in TEXT
    assert not re.search(r"^(ARG|ENV) \w*(PASSWORD|TOKEN|SECRET|KEY)", TEXT, flags=re.MULTILINE)
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


def test_the_program_gets_the_locks_packages_alone() -> None:
    installs = re.findall(r"/opt/creditstream/bin/pip install ([^&]+?) +&&", " ".join(LINES))
    assert installs == ["--require-hashes -r requirements/runtime.txt", "--no-deps dist/*.whl"]


def test_the_build_has_the_locks_tools() -> None:
    installs = re.findall(r"&& pip install (.+)", "\n".join(LINES))
    assert installs == ["--require-hashes -r requirements/build.txt"]


def test_what_is_copied_is_let_through() -> None:
    copied = {name for line in of("COPY", LINES) if not line.startswith("--from") for name in line.split()[:-1]}
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == let_through
