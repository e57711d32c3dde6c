"""Ports for servers that are started beside others: nobody is given one that somebody else has been given."""

import random

import pytest

from devtools.stack.ports import Ports, free_port


def test_a_port_is_given_out_once_although_nothing_listens_there_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = [free_port() + offset for offset in range(40)]
    monkeypatch.setattr(random, "sample", lambda *_, **__: candidates)
    given = [*vars(Ports.free()).values(), *vars(Ports.free()).values()]
    assert len(set(given)) == len(given) == 12
