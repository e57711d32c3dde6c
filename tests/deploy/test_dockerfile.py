"""The Dockerfile keeps its rules, and its first step says what the program needs."""

import re
import subprocess
import sys
import tomllib

import pytest

from tests.support.servers import ROOT

TEXT = (ROOT / "Dockerfile").read_text()
LINES = [line for line in re.sub(r"\\\n\s*", "", TEXT).splitlines() if line and not line.startswith("#")]
LAST_STAGE = LINES[max(number for number, line in enumerate(LINES) if line.startswith("FROM")) :]


def of(instruction: str, lines: list[str] = LAST_STAGE) -> list[str]:
    return [line.removeprefix(instruction).strip() for line in lines if line.startswith(instruction + " ")]


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


@pytest.mark.parametrize("extras", [[], ["msk"]])
def test_the_list_of_dependencies_is_the_projects(extras: list[str]) -> None:
    found = re.search(r'python -c "(.+?)" \$EXTRAS > runtime\.txt', TEXT)
    assert found
    command = [sys.executable, "-c", found[1], *extras]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    more = [line for extra in extras for line in project["optional-dependencies"][extra]]
    assert done.stdout.splitlines() == [*project["dependencies"], *more]
