"""Two real workers with a Redis of their own, and a real Chromium that looks at them. Both once for a whole module."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from devtools.programs import RiskApiProcess
from devtools.stack.ports import free_port
from tests.browser.site import Site, Watch
from tests.support.chromium import ARGUMENTS, chromium
from tests.support.cloned import Template
from tests.support.kafka import Topics
from tests.support.servers import Servers

OpenPage = Callable[..., Page]
#: Milliseconds. Nothing takes so long; a loaded machine may.
_PATIENCE = 60_000


@pytest.fixture(scope="session")
def chromium_path() -> str:
    return chromium()


@pytest.fixture(scope="module")
def site(stack: Servers, template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("site")
    topics = Topics(stack)
    topics.create()
    risk_api = RiskApiProcess(free_port(), folder)
    with template.cloned() as database:
        site = Site(stack, database, topics, risk_api, folder)
        try:
            risk_api.wait_until_ready()
            site.start()
            yield site
        finally:
            site.discard()
            risk_api.discard()
    topics.delete()


@pytest.fixture(scope="module")
def browser(site: Site, chromium_path: str) -> Iterator[Browser]:
    """After `site`: while Playwright is open, its event loop is this thread's, and asyncio.run() has no place in it."""
    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[OpenPage]:
    """open_page("/?status=approved", worker=1, color_scheme="dark"): a fresh reader's page of that worker.

    At the end no page may have asked anybody but its worker, or have logged an error (but those that match `but`).
    """
    contexts: list[BrowserContext] = []
    watches: list[Watch] = []

    def open_it(address: str = "/", *, worker: int = 0, but: str | None = None, **reader: Any) -> Page:
        context = browser.new_context(**{"locale": "pt-BR", "timezone_id": "America/Sao_Paulo", **reader})
        context.set_default_timeout(_PATIENCE)
        contexts.append(context)
        page = context.new_page()
        watches.append(Watch(page, site.url(worker), but))
        page.goto(site.url(worker) + address)
        return page

    yield open_it
    problems = [problem for watch in watches for problem in watch.problems()]
    for context in contexts:
        context.close()
    assert problems == []
