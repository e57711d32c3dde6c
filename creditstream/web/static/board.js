// The page of all orders: figures, filters, and the table that changes live.
import { getJson } from "./api.js";
import { announce, h, say } from "./dom.js";
import { addressOf, isFiltered, matches, questionOf } from "./filters.js";
import { filterForm } from "./form.js";
import { LIMIT, OrderList, Waiting } from "./list.js";
import { Table } from "./table.js";
import { t } from "./words.js";

/** Changes are shown together this often (ms): a burst of thousands costs the page no more than a few. */
const BATCH = 200;
const NEWS = 10_000;
const LEAVING = 4_000;
const AGAIN = 5_000;

export class Board {
  #waiting = new Waiting();
  #isPaused = false;
  #isStale = false;
  #batch = [];
  #timers = {};
  #news = { added: 0, decided: 0 };
  #ask = null;
  #hasLoaded = false;

  constructor(filters, figures, go) {
    this.filters = filters;
    this.list = new OrderList(filters);
    this.table = new Table();
    this.message = h("div", { class: "message", hidden: true });
    this.pages = h("nav", { class: "pages", "aria-label": t("orders") });
    this.pause = h("button", { type: "button", class: "pause", "aria-pressed": "false", onclick: () => this.#togglePause() });
    this.state = h("p", { class: "waiting", id: "waiting" });
    this.#tellPause();
    this.element = h("div", { class: "board" },
      h("h1", { class: "unseen", tabindex: "-1" }, t("title")),
      figures,
      h("section", { class: "card list", "aria-labelledby": "orders" },
        h("div", { class: "bar" }, h("h2", { id: "orders" }, t("orders")), this.state, this.pause),
        filterForm(filters, (chosen) => go(addressOf(chosen)), (id) => go(`/orders/${id}`)),
        filters.cursor && h("p", { class: "note older" }, t("page.older")),
        this.table.element, this.message, this.pages));
  }

  get title() {
    return t("title");
  }

  async load() {
    clearTimeout(this.#timers.again);
    if (this.#isPaused) {
      this.#isStale = true; // the reader looks at these rows
      return;
    }
    this.#ask?.abort();
    const ask = (this.#ask = new AbortController());
    if (!this.#hasLoaded) this.table.wait();
    this.table.element.setAttribute("aria-busy", "true");
    try {
      const answer = await getJson(questionOf(this.filters, LIMIT), ask.signal);
      this.#hasLoaded = true;
      this.list.load(answer.orders);
      this.#show();
      this.#showPages(answer.next);
    } catch (error) {
      if (error.name !== "AbortError") this.#fail(error);
    } finally {
      if (ask === this.#ask) this.table.element.removeAttribute("aria-busy");
    }
  }

  /** A status record from the stream. */
  change(record) {
    if (this.#isPaused) {
      if (!matches(this.filters, record) && !this.list.rows.some((row) => row.order_id === record.order_id)) return;
      this.#waiting.add(record);
      this.#timers.tell ??= setTimeout(() => this.#tellPause(), BATCH);
      return;
    }
    this.#batch.push(record);
    this.#timers.batch ??= setTimeout(() => this.#take(), BATCH);
  }

  leave() {
    this.#ask?.abort();
    Object.values(this.#timers).forEach(clearTimeout);
  }

  #take() {
    clearTimeout(this.#timers.batch);
    this.#timers.batch = undefined;
    const { added, changed } = this.list.take(this.#batch.splice(0));
    if (!added.size && !changed.size) return;
    this.#show({ added, changed });
    this.#count(added.size, [...changed].filter((id) => this.list.rows.find((row) => row.order_id === id)?.score !== null).length);
    if (this.list.leaving.size) this.#timers.sweep ??= setTimeout(() => this.#sweep(), LEAVING);
  }

  #sweep() {
    this.#timers.sweep = undefined;
    if (this.#isPaused) return;
    this.list.sweep();
    this.#show();
  }

  #show(marks = {}) {
    const { rows, leaving } = this.list;
    if (!this.#hasLoaded && !rows.length) return;
    this.table.show(rows, { ...marks, leaving });
    const kind = isFiltered(this.filters) ? "empty.filtered" : "empty";
    if (this.#hasLoaded) this.#tell(rows.length ? null : [h("h3", {}, t(kind === "empty" ? "empty.title" : kind)), h("p", {}, t(`${kind}.hint`))]);
  }

  #showPages(next) {
    const link = (text, filters) => h("a", { class: "button", href: addressOf(filters), "data-link": true }, text);
    this.pages.replaceChildren(...[
      this.filters.cursor && link(t("newest"), { ...this.filters, cursor: null }),
      next && link(t("older"), { ...this.filters, cursor: next }),
    ].filter(Boolean));
  }

  #fail(error) {
    const mayPass = error.status === 0 || error.status >= 429;
    this.#hasLoaded ||= !mayPass;
    if (!this.list.rows.length) this.table.show([]);
    this.#tell([
      h("h3", {}, t("failed.title")),
      h("p", {}, mayPass ? t("failed.again") : error.message),
      h("button", { type: "button", onclick: () => this.load() }, t("failed.retry")),
    ]);
    if (mayPass) this.#timers.again = setTimeout(() => this.load(), AGAIN);
  }

  #tell(content) {
    this.message.hidden = !content;
    this.message.replaceChildren(...(content ?? []));
  }

  #togglePause() {
    this.#isPaused = !this.#isPaused;
    if (!this.#isPaused) {
      const isStale = this.#isStale || this.#waiting.isOver;
      this.#isStale = false;
      this.#batch.push(...this.#waiting.drain());
      this.#take();
      // More came than was kept: the server knows all of it.
      if (isStale) this.load();
      if (this.list.leaving.size) this.#sweep();
    }
    this.#tellPause();
  }

  #tellPause() {
    this.#timers.tell = undefined;
    const count = this.#waiting.count;
    this.pause.setAttribute("aria-pressed", String(this.#isPaused));
    say(this.pause, t(this.#isPaused ? "resume" : "pause"));
    say(this.state, !this.#isPaused ? "" : count ? t("paused.waiting", { n: count }) : t("paused"));
  }

  /** What a screen reader is told: sums, and not more often than people can listen. */
  #count(added, decided) {
    this.#news.added += added;
    this.#news.decided += decided;
    this.#timers.news ??= setTimeout(() => {
      this.#timers.news = undefined;
      const parts = ["added", "decided"].filter((name) => this.#news[name]).map((name) => t(`news.${name}`, { n: this.#news[name] }));
      this.#news = { added: 0, decided: 0 };
      if (parts.length) announce(parts.join(", "));
    }, NEWS);
  }
}
