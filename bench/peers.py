"""The virtual environment of the peers: apart from the product's own, so that neither lock has to suit the other."""

import json
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_LOCK = _ROOT / "requirements" / "bench.txt"
_VENV = _ROOT / ".local" / "peers"
PEERS_PYTHON = _VENV / "bin" / "python"


def install_peers() -> None:
    """Make it from requirements/bench.txt, once per lock. Raises SystemExit."""
    stamp, wanted = _VENV / ".installed", _LOCK.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print("peers      installing FastStream and Quix Streams into .local/peers", flush=True)
    pip = [str(PEERS_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    for command in ([sys.executable, "-m", "venv", "--clear", str(_VENV)], [*pip, "-r", str(_LOCK)]):
        if subprocess.run(command, check=False).returncode:
            raise SystemExit(f"creditstream: the peers did not install: {' '.join(command)}")
    stamp.write_text(wanted)


def peers_versions() -> dict[str, str]:
    """What is measured there."""
    code = "import json; from importlib.metadata import version as v; "
    code += "print(json.dumps({n: v(n) for n in ('faststream', 'quixstreams', 'confluent-kafka', 'pydantic')}))"
    done = subprocess.run([PEERS_PYTHON, "-c", code], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))
