"""The status page, made on the server: every value escaped, no script."""

from decimal import Decimal
from html import escape
from importlib.resources import files
from string import Template

from creditstream.web.dashboard import Board
from schemas.status import StatusRecord

_PAGE = Template((files("creditstream.web") / "index.html").read_text(encoding="utf-8"))
_WORDS = {"under_review": "Em análise", "approved": "Aprovado", "rejected": "Reprovado"}
_NOTHING = '<tr><td colspan="8">Nenhum pedido ainda. Digite um no kafka-console-producer.</td></tr>'
_REPLICA_AWAY = '<p class="problem" role="status">A réplica de leitura não responde: contagens indisponíveis.</p>'


def render_page(board: Board, state: str) -> str:
    """The whole page. `state` is one line about this worker."""
    counts = board.counts
    return _PAGE.substitute(
        state=escape(state),
        problem="" if board.available else _REPLICA_AWAY,
        total=_number(sum(counts.values())),
        under_review=_number(counts.get("under_review", 0)),
        approved=_number(counts.get("approved", 0)),
        rejected=_number(counts.get("rejected", 0)),
        rows="\n".join(map(_row, board.newest)) or _NOTHING,
    )


def _row(record: StatusRecord) -> str:
    order_id = escape(str(record.order_id))
    score = "–" if record.score is None else str(record.score)
    return (
        f'<tr><td><a href="/orders/{order_id}"><code>{order_id}</code></a></td><td>{escape(record.customer_id)}</td>'
        f'<td>{escape(record.product)}</td><td class="number">{_money(record.amount)}</td>'
        f'<td class="number">{record.term_months}</td><td class="number">{score}</td>'
        f'<td class="{record.status}" title="{escape(record.reason)}">{_WORDS[record.status]}</td>'
        f"<td>{record.updated_at:%d/%m/%Y %H:%M:%S}</td></tr>"
    )


def _number(count: int) -> str:
    return f"{count:,}".replace(",", ".")


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}".translate(str.maketrans(",.", ".,"))
