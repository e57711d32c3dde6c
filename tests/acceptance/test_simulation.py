"""The simulation: new seeds each time, the same digests for the same seeds, a fault that is found and told."""

import os
import subprocess
import sys
import time

from tests.support.servers import ROOT

_WITHIN = 600.0
#: CPU seconds of seeds that nobody has played before.
_NEW_SEEDS = 45


def simulate(*arguments: str, hash_seed: str = "random") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.simulation", "--jobs", "1", *arguments]
    environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=_WITHIN, check=False, env=environ)


def test_new_seeds_find_nothing() -> None:
    first = int(time.time())
    done = simulate("--first", str(first), "--seeds", "0", "--seconds", str(_NEW_SEEDS))
    assert done.returncode == 0, f"{done.stdout[-4_000:]}\n{done.stderr[-1_000:]}"
    assert "red: none" in done.stdout


def test_stories_in_which_a_fault_was_found_are_clean() -> None:
    done = simulate("--stories")
    assert done.returncode == 0, done.stdout
    assert "red: none" in done.stdout


def test_a_seed_gives_the_same_digest_whatever_the_hashes_are() -> None:
    told = [simulate("--seeds", "3", "--digests", hash_seed=each).stdout.splitlines()[:3] for each in ("1", "2")]
    assert told[0] == told[1]
    assert len(set(told[0])) == 3


def test_a_fault_that_is_put_back_is_found_and_told_in_words() -> None:
    found = simulate("--fault", "inverted_policy")
    assert found.returncode == 0, found.stdout
    assert "and the policy says" in found.stdout
    story = simulate("--fault", "inverted_policy", "--seed", "1")
    assert story.returncode == 1
    assert "the shortest story of it:" in story.stdout
