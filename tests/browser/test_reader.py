"""What a reader does with the page: filters and addresses, language, theme, keyboard, screen reader; what it costs."""

import json
from uuid import UUID, uuid4

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from creditstream.simulation.risk_simulator import score_for
from tests.browser.conftest import OpenPage
from tests.browser.site import Site

_MOST_BYTES = 100_000
_ORDERS = 60


@pytest.fixture(scope="module")
def orders(site: Site) -> list[UUID]:
    """More than one page of orders, decided and listed; the newest are of another product and customer."""
    ids = site.send(_ORDERS, created_at="2026-11-20T12:00:00Z")
    ids += site.send(4, customer_id="c-new", product="mortgage")
    site.wait_until_listed(ids)
    return ids


def rows(page: Page) -> list[str]:
    return [str(each.get_attribute("data-id")) for each in page.locator("tr[data-id]").all()]


def listed(page: Page, count: int) -> None:
    expect(page.locator("tr[data-id]")).to_have_count(count)


def path(page: Page) -> str:
    return str(page.evaluate("location.pathname + location.search"))


def test_filters_are_an_address_that_can_be_shared_and_gone_back_from(
    site: Site, orders: list[UUID], open_page: OpenPage
) -> None:
    page = open_page()
    listed(page, 50)
    page.get_by_label("Produto").select_option("mortgage")
    listed(page, 4)
    assert path(page) == "/?product=mortgage"
    page.get_by_label("Status").select_option("rejected")
    query = "SELECT order_id::text FROM orders WHERE product = 'mortgage' AND status = 'rejected'"
    rejected = [order_id for (order_id,) in site.database.fetch(query)]
    listed(page, len(rejected))
    assert sorted(rows(page)) == sorted(rejected)
    shared = path(page)
    listed(open_page(shared, worker=1), len(rejected))
    page.go_back()
    listed(page, 4)
    page.go_back()
    listed(page, 50)
    page.get_by_label("Criado de").fill("2026-11-22")
    page.get_by_label("Criado de").blur()
    listed(page, 4)
    page.get_by_role("link", name="Limpar filtros").click()
    listed(page, 50)
    first = rows(page)
    page.get_by_role("link", name="Mais antigos").click()
    listed(page, len(orders) - 50)
    assert not set(first) & set(rows(page))
    assert "cursor=" in path(page)
    page.get_by_role("link", name="Mais novos").click()
    listed(page, 50)


def test_search_finds_a_customer_and_an_order(orders: list[UUID], open_page: OpenPage) -> None:
    page = open_page()
    search = page.get_by_label("Pedido ou cliente")
    search.fill("c-new")
    search.press("Enter")
    listed(page, 4)
    assert path(page) == "/?customer=c-new"
    search.fill(str(orders[0]).upper())
    page.get_by_role("button", name="Buscar").click()
    expect(page.get_by_role("region", name="Decisão")).to_contain_text(f"{score_for(orders[0])} de 1.000")
    assert path(page) == f"/orders/{orders[0]}"
    page.go_back()
    listed(page, 4)


def test_a_list_that_does_not_load_says_so_and_loads_again(orders: list[UUID], open_page: OpenPage) -> None:
    page = open_page("/?product=mortgage", but="status of 503")
    listed(page, 4)
    page.route("**/orders?*", lambda route: route.fulfill(status=503, body=json.dumps({"error": "away"})))
    page.get_by_label("Produto").select_option("")
    expect(page.get_by_role("heading", name="A lista não carregou")).to_be_visible()
    page.unroute("**/orders?*")
    page.get_by_role("button", name="Tentar de novo").click()
    listed(page, 50)
    expect(page.get_by_role("heading", name="A lista não carregou")).to_be_hidden()


def test_english_and_dark_by_choice_and_remembered(orders: list[UUID], open_page: OpenPage) -> None:
    page = open_page(locale="en-US")
    expect(page.locator("html")).to_have_attribute("lang", "pt-BR")
    expect(page.get_by_role("heading", name="Pedidos", exact=True)).to_be_visible()
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="Orders", exact=True)).to_be_visible()
    expect(page.locator("td.amount").first).to_have_text("R$1,500.00")
    expect(page).to_have_title("Credit orders · creditstream")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Theme: automatic").click()
    page.get_by_role("button", name="Theme: light").click()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    expect(page.get_by_role("heading", name="Orders", exact=True)).to_be_visible()
    assert page.evaluate(ground) == dark
    assert open_page(color_scheme="dark").evaluate(ground) == dark, "and dark is what a dark system gets unasked"


def test_the_keyboard_is_enough(orders: list[UUID], open_page: OpenPage) -> None:
    page = open_page("/?product=mortgage")
    listed(page, 4)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Ir para o conteúdo")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    pause = page.get_by_role("button", name="Pausar")
    expect(pause).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "the focus is seen"
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Retomar")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Space")
    first = page.locator("td.order a").first
    for _ in range(20):
        if first.evaluate("link => link === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Pedido ")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(orders: list[UUID], open_page: OpenPage, scheme: str) -> None:
    reader = {"color_scheme": scheme, "reduced_motion": "reduce"}
    for address, ready in (
        ("/?product=mortgage", "tr[data-id]"),
        ("/?customer=nobody", ".message:not([hidden])"),
        (f"/orders/{orders[0]}", ".timeline"),
    ):
        page = open_page(address, **reader)
        expect(page.locator(ready).first).to_be_visible()
        found = Axe().run(page).response["violations"]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == [], address


def test_a_phone_shows_it_without_scrolling_sideways(orders: list[UUID], open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    listed(page, 50)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    expect(page.get_by_role("row")).to_have_count(51)  # still a table for a screen reader


def test_first_paint_is_light(orders: list[UUID], open_page: OpenPage) -> None:
    page = open_page(f"/orders/{uuid4()}", but="status of 404")
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto("/".join(page.url.split("/")[:3]))
    listed(page, 50)
    assert len(sizes) > 10, "scripts and styles were seen"
    assert sum(sizes) < _MOST_BYTES
