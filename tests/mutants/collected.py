"""pytest up to where it has collected: what comes then is ours. No servers are started, and Hypothesis is calm."""

from abc import ABC, abstractmethod
from typing import Any

import pytest

#: Fixtures that start servers. What needs one is left to `make test`.
_SERVERS = {"stack"}
_OPTIONS = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "--continue-on-collection-errors", "--tb=line"]


class Collected(ABC):
    """A plugin of pytest."""

    def __init__(self) -> None:
        self._failed = False

    @abstractmethod
    def loop(self, items: dict[str, pytest.Item]) -> None:
        """Called once, with all tests by their names."""

    def fails(self, item: pytest.Item, following: pytest.Item | None) -> bool:
        """Runs the test. `following`: whose fixtures stay. True as well if what is set up or torn down fails."""
        self._failed = False
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        return self._failed

    def pytest_configure(self, config: pytest.Config) -> None:
        if config.pluginmanager.hasplugin("hypothesispytest"):
            _calm_hypothesis()

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        if fixturedef.argname in _SERVERS:
            pytest.fail("mutants have no servers")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.loop({item.nodeid: item for item in session.items})
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed |= report.failed


def run_pytest(plugin: Collected, tests: list[str]) -> None:
    pytest.main([*_OPTIONS, *tests], plugins=[plugin])


def _calm_hypothesis() -> None:
    """The same examples at each run, none kept from the mutant before, no time for a shorter one, no deadline."""
    from hypothesis import Phase, settings

    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutants", derandomize=True, database=None, deadline=None, phases=phases)
    settings.load_profile("mutants")
