"""docs/how-to/aws.md's commands in a real shell, with stand-ins for what would reach AWS; and what those were asked."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.support.servers import ROOT

_WITHIN = 300.0
_STAND_INS = ("aws", "curl", "docker", "helm", "kubectl")
#: Answers as AWS's would look like; passwords as Secrets Manager generates them: letters and digits.
ANSWERS = {
    "OutputKey=='Registry'": "123456789012.dkr.ecr.us-east-1.amazonaws.com/creditstream",
    "OutputKey=='KafkaArn'": "arn:aws:kafka:us-east-1:123456789012:cluster/creditstream/7b0c0a52-1",
    "OutputKey=='Primary'": "creditstream.c1.us-east-1.rds.amazonaws.com",
    "OutputKey=='Replica'": "creditstream-replica.c1.us-east-1.rds.amazonaws.com",
    "OutputKey=='Cache'": "master.creditstream.c1.use1.cache.amazonaws.com",
    "OutputKey=='Key'": "arn:aws:kms:us-east-1:123456789012:key/7b0c0a52",
    "get-caller-identity": "123456789012",
    "get-bootstrap-brokers": ",".join(f"b-{n}.creditstream.c1.kafka.us-east-1.amazonaws.com:9098" for n in (1, 2, 3)),
    "creditstream/postgres-admin": '{"username": "creditstream_admin", "password": "AdminAdminAdminAdminAdmin1"}',
    "get-secret-value": "GeneratedGeneratedGenerated2",
    "get-login-password": "token",
    "--output=name": "job.batch/database-role-x1",
    "checkip": "203.0.113.7",
}
_STAND_IN = """\
#!{python} -IS
import json, pathlib, shutil, sys
name, arguments = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
took = "-" in arguments or "@-" in arguments or "-i" in arguments or "--password-stdin" in arguments
call = {{"program": name, "arguments": arguments, "input": sys.stdin.read() if took else ""}}
for argument in arguments:
    source = pathlib.Path(argument.removeprefix("--from-file="))
    if argument.startswith("--from-file=") and source.is_dir():
        call["files"] = {{file.name: file.read_text() for file in source.iterdir()}}
if "-o" in arguments:
    pathlib.Path(arguments[arguments.index("-o") + 1]).write_text("fetched")
with open({log!r}, "a") as log:
    log.write(json.dumps(call) + "\\n")
line = " ".join(arguments)
print(next((answer for key, answer in {answers!r}.items() if key in line), ""))
"""


class Call(NamedTuple):
    """`files`: what a folder that it was given held, by name."""

    program: str
    arguments: list[str]
    input: str
    files: dict[str, str]


class Walk:
    """All shell blocks of the page, one after the other, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.folder.mkdir(parents=True)
        (self.folder / "deploy").symlink_to(ROOT / "deploy")
        log = folder / "calls"
        programs = folder / "bin"
        programs.mkdir()
        for name in _STAND_INS:
            stand_in = programs / name
            stand_in.write_text(_STAND_IN.format(python=sys.executable, log=str(log), answers=ANSWERS))
            stand_in.chmod(0o755)
        path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
        environ = {"PATH": path, "HOME": str(folder)}
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", commands()],
            cwd=self.folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_WITHIN,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self.calls = [Call(**{"files": {}, **json.loads(line)}) for line in log.read_text().splitlines()]

    def to(self, program: str, *words: str) -> list[Call]:
        """The calls whose arguments begin with the words."""
        return [one for one in self.calls if one.program == program and tuple(one.arguments[: len(words)]) == words]

    def manifests(self) -> list[dict[str, Any]]:
        """What kubectl was given to apply or to create, but for secrets, which come from the stand-in itself."""
        texts = [one.input for one in self.to("kubectl") if one.arguments[-2:] == ["-f", "-"]]
        return [one for text in texts for one in yaml.safe_load_all(text) if isinstance(one, dict)]


def commands() -> str:
    """Of docs/how-to/aws.md, one block after the other."""
    page = (ROOT / "docs" / "how-to" / "aws.md").read_text()
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE))
