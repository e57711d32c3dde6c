"""Orders that change while somebody looks: on the list, on their own page, while paused, and through faults."""

import re
from uuid import UUID, uuid4

from playwright.sync_api import Locator, Page, expect

from creditstream.simulation.risk_simulator import score_for
from tests.browser.conftest import OpenPage
from tests.browser.site import TOKEN, Site
from tests.support.product import order_line

#: What a browser says when its worker is gone, and nothing else can be done about it.
_GONE = r"net::ERR_|status of 503"


def row(page: Page, order_id: object) -> Locator:
    return page.locator(f'tr[data-id="{order_id}"]')


def be_live(*pages: Page) -> None:
    for page in pages:
        expect(page.locator("#connection")).to_have_attribute("data-state", "live")


def expect_decided(page: Page, *order_ids: UUID) -> None:
    for order_id in order_ids:
        status = row(page, order_id).locator(".badge")
        expect(status).to_have_text("Aprovado" if score_for(order_id) >= 600 else "Reprovado")


def test_a_typed_order_is_decided_on_the_open_page(site: Site, open_page: OpenPage) -> None:
    pages = [open_page(worker=0), open_page(worker=1)]
    be_live(*pages)
    for page in pages:
        expect(page.get_by_text("Nenhum pedido ainda")).to_be_visible()
        page.evaluate("window.isStillThisPage = true")
    order_id = uuid4()
    site.risk_api.control(mode="hang")
    site.topics.send_lines("orders", [order_line(order_id)])
    for page in pages:
        expect(row(page, order_id).locator(".badge")).to_have_text("Em análise")
        expect(row(page, order_id).locator(".amount")).to_have_text("R$\u00a01.500,00")
        expect(row(page, order_id).locator(".score")).to_have_text("–")
    site.risk_api.control(mode="ok")
    for page in pages:
        expect_decided(page, order_id)
        expect(row(page, order_id).locator(".score")).to_have_text(str(score_for(order_id)))
        assert page.evaluate("window.isStillThisPage")


def test_an_orders_own_page_waits_for_it_and_shows_why(site: Site, open_page: OpenPage) -> None:
    order_id = uuid4()
    page = open_page(f"/orders/{order_id}", but="status of 404")
    be_live(page)
    expect(page.get_by_role("heading", name="Pedido não encontrado")).to_be_visible()
    site.topics.produce("orders", [(None, order_line(order_id, customer_id="c-7").encode())])
    decision = page.get_by_role("region", name="Decisão")
    expect(decision).to_contain_text(f"{score_for(order_id)} de 1.000")
    expect(decision).to_contain_text("Histórico de pagamento")
    expect(decision).to_contain_text("simulated-1")
    data = page.get_by_role("region", name="Dados do pedido")
    for text in ("c-7", "Empréstimo pessoal", "R$\u00a01.500,00", "12 meses", "23 de novembro de 2026 às 09:00:00"):
        expect(data).to_contain_text(text)
    timeline = page.get_by_role("region", name="Linha do tempo").get_by_role("listitem")
    expect(timeline.first).to_contain_text("Recebido")
    expect(timeline.last).to_contain_text("Score acima do mínimo" if score_for(order_id) >= 600 else "Score abaixo")


def test_a_pause_holds_changes_back_and_loses_none(site: Site, open_page: OpenPage) -> None:
    page = open_page("/?customer=c-pause")
    be_live(page)
    expect(page.get_by_text("Nenhum pedido com estes filtros")).to_be_visible()
    page.get_by_role("button", name="Pausar").click()
    ids = site.send(30, customer_id="c-pause")
    site.send(1, customer_id="c-other")
    # One change each, or two where the decision took longer than a second.
    expect(page.locator("#waiting")).to_have_text(re.compile(r"^[3-6]\d mudanças à espera$"))
    expect(page.locator("tr[data-id]")).to_have_count(0)
    page.get_by_role("button", name="Retomar").click()
    expect(page.locator("tr[data-id]")).to_have_count(30)
    expect_decided(page, *ids[:3])


def test_a_page_outlives_redis_and_its_worker(site: Site, open_page: OpenPage) -> None:
    stays, returns = open_page(worker=0), open_page(worker=1, but=_GONE)
    be_live(stays, returns)
    site.kill_redis()
    [first] = site.send()
    for page in (stays, returns):
        expect_decided(page, first)
    stays.get_by_label("Status").select_option("approved")
    expect(stays.locator("table")).not_to_have_attribute("aria-busy", "true")
    site.start_redis()
    stays.go_back()
    site.workers[1].kill()
    expect(returns.locator("#connection")).to_have_text("Reconectando…")
    expect(returns.get_by_text("Sem conexão com o worker")).to_be_visible()
    missed = site.send(8)
    expect_decided(stays, *missed)  # also those whose partitions the killed worker had
    be_live(stays)
    site.restart_worker(1)
    be_live(returns)
    expect(returns.get_by_text("Sem conexão com o worker")).to_have_count(0)
    expect_decided(returns, *missed)


def test_a_login_is_asked_for_and_leads_back(site: Site, open_page: OpenPage) -> None:
    site.restart_worker(1, web_token=TOKEN)
    site.workers[1].wait_until_ready()
    page = open_page("/", worker=1, but="status of 401")
    expect(page.get_by_role("heading", name="Entrar")).to_be_visible()
    page.get_by_label("Token de acesso").fill("not the right one")
    page.get_by_role("button", name="Entrar").click()
    expect(page.get_by_role("alert")).to_have_text("Token não aceito.")
    page.get_by_label("Token de acesso").fill(TOKEN)
    page.keyboard.press("Enter")
    be_live(page)
    page.get_by_role("button", name="Sair").click()
    expect(page.get_by_role("heading", name="Entrar")).to_be_visible()
