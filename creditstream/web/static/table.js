// The table of orders: one row element per order, kept while the order is shown, so that a change touches only its cells.
import { h, say } from "./dom.js";
import { asFullTime, asMoney, asTime, shortId } from "./format.js";
import { t, term } from "./words.js";

const COLUMNS = ["order", "customer", "product", "amount", "term", "score", "status", "created", "updated"];
const NUMBERS = new Set(["amount", "term", "score"]);
/** As long as the highlight in table.css. */
const HIGHLIGHT = 4_000;
const SKELETON = 8;

/** The status as a word and a colour. */
export function badge(status) {
  return h("span", { class: "badge", "data-status": status }, t(`status.${status}`));
}

export class Table {
  #rows = new Map();
  #timers = new Map();

  constructor() {
    this.body = h("tbody", { role: "rowgroup" });
    const head = COLUMNS.map((name) =>
      h("th", { scope: "col", role: "columnheader", class: className(name) }, t(`column.${name}`)));
    // Roles are named because the phone's layout turns rows into blocks, which can cost a table its meaning.
    this.element = h("table", { class: "orders", role: "table" },
      h("caption", { class: "unseen" }, t("orders.caption")),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)), this.body);
  }

  /** Grey bars where rows will be. */
  wait() {
    const bars = () => COLUMNS.map((name) => h("td", { role: "cell", class: className(name) }, h("span", { class: "bone" })));
    this.#rows.clear();
    this.body.replaceChildren(...Array.from({ length: SKELETON }, () => h("tr", { role: "row", class: "skeleton", "aria-hidden": "true" }, bars())));
  }

  /** Show `orders` in this order; highlight the rows whose ids are in `added` and `changed`. */
  show(orders, { added = new Set(), changed = new Set(), leaving = new Set() } = {}) {
    const rows = new Map(orders.map((order) => [order.order_id, this.#row(order)]));
    for (const [id, row] of this.#rows) if (!rows.has(id)) row.remove();
    if (!this.#rows.size) this.body.replaceChildren();
    this.#rows = rows;
    let place = this.body.firstElementChild;
    for (const [id, row] of rows) {
      if (row === place) place = place.nextElementSibling;
      else this.body.insertBefore(row, place);
      row.classList.toggle("leaving", leaving.has(id));
    }
    for (const id of added) this.#highlight(id, "is-new");
    for (const id of changed) this.#highlight(id, "is-changed");
  }

  #row(order) {
    const known = this.#rows.get(order.order_id);
    const row = known ?? makeRow(order);
    if (row.dataset.version !== String(order.version) || !known) fillRow(row, order);
    return row;
  }

  #highlight(id, name) {
    const row = this.#rows.get(id);
    if (!row) return;
    clearTimeout(this.#timers.get(id));
    row.classList.remove("is-new", "is-changed");
    void row.offsetWidth; // so that the animation starts anew
    row.classList.add(name);
    const end = () => {
      row.classList.remove(name);
      this.#timers.delete(id);
    };
    this.#timers.set(id, setTimeout(end, HIGHLIGHT));
  }
}

const className = (name) => (NUMBERS.has(name) ? `${name} number` : name);

function makeRow(order) {
  const cells = COLUMNS.map((name) => h("td", { role: "cell", class: className(name) }));
  const [first, customer, product, amount, months] = cells;
  first.append(h("a", { href: `/orders/${order.order_id}`, "data-link": true, title: order.order_id }, shortId(order.order_id)));
  customer.append(h("a", { href: `/?${new URLSearchParams({ customer: order.customer_id })}`, "data-link": true, class: "plain" }, order.customer_id));
  say(product, term("product", order.product));
  say(amount, asMoney(order.amount));
  say(months, t("months", { n: order.term_months }));
  return h("tr", { role: "row", "data-id": order.order_id }, cells);
}

/** What changes with an order's status. */
function fillRow(row, order) {
  const [score, status, created, updated] = [...row.cells].slice(5);
  row.dataset.version = order.version;
  say(score, order.score === null ? "–" : String(order.score));
  status.replaceChildren(badge(order.status));
  status.title = term("reason", order.reason);
  created.replaceChildren(time(order.created_at));
  updated.replaceChildren(time(order.updated_at));
}

function time(iso) {
  return h("time", { datetime: iso, title: asFullTime(iso) }, asTime(iso));
}
