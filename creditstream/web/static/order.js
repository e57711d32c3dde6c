// One order's page: what was asked, what was decided and why, and when.
import { getJson } from "./api.js";
import { announce, h, svg } from "./dom.js";
import { asDuration, asFullTime, asMoney, asTime, shortId } from "./format.js";
import { badge } from "./table.js";
import { t, term } from "./words.js";

const MAX_SCORE = 1000;
const AGAIN = 5_000;

export class OrderPage {
  #order = null;
  #timer = 0;
  #ask = null;

  constructor(id) {
    this.id = id;
    this.heading = h("h1", { tabindex: "-1" }, t("order.title", { id: shortId(id) }));
    this.status = h("span", { class: "now" });
    this.content = h("div", { class: "sheet", "aria-busy": "true" }, h("p", { class: "note" }, t("loading")));
    this.element = h("article", {},
      h("p", { class: "back" }, h("a", { href: "/", "data-link": true }, `← ${t("order.back")}`)),
      h("div", { class: "bar" }, this.heading, this.status),
      h("p", { class: "id" }, h("code", {}, id), copyButton(id)),
      this.content);
  }

  get title() {
    return t("order.title", { id: shortId(this.id) });
  }

  async load() {
    clearTimeout(this.#timer);
    this.#ask?.abort();
    const ask = (this.#ask = new AbortController());
    try {
      const order = await getJson(`/orders/${encodeURIComponent(this.id)}`, ask.signal);
      if (!this.#order || order.version >= this.#order.version) this.#show(order);
    } catch (error) {
      if (error.name !== "AbortError") this.#fail(error);
    }
  }

  /** A status record from the stream: shown at once; the timeline and the reasons are asked for. */
  change(record) {
    if (record.order_id !== this.id || record.version <= (this.#order?.version ?? 0)) return;
    const { timeline = [], reasons = [] } = this.#order ?? {};
    this.#show({ ...record, reasons, timeline: [...timeline, { ...record, at: record.updated_at }] });
    announce(t("order.now", { id: shortId(this.id), status: t(`status.${record.status}`) }));
    this.load();
  }

  leave() {
    clearTimeout(this.#timer);
    this.#ask?.abort();
  }

  #show(order) {
    this.#order = order;
    this.status.replaceChildren(badge(order.status));
    this.content.removeAttribute("aria-busy");
    this.content.replaceChildren(data(order), decision(order), timeline(order));
  }

  #fail(error) {
    const kind = { 400: "invalid", 404: "missing" }[error.status] ?? "failed";
    if (kind !== "failed" || !this.#order) {
      this.content.removeAttribute("aria-busy");
      const hint = kind === "failed" ? t("failed.again") : t(`order.${kind}.hint`);
      this.content.replaceChildren(h("div", { class: "message" }, h("h2", {}, t(kind === "failed" ? "order.failed" : `order.${kind}`)), h("p", {}, hint)));
    }
    if (kind !== "invalid") this.#timer = setTimeout(() => this.load(), AGAIN);
  }
}

function data(order) {
  const customer = h("a", { href: `/?${new URLSearchParams({ customer: order.customer_id })}`, "data-link": true }, order.customer_id);
  return card("data", [
    ["column.customer", customer],
    ["column.product", term("product", order.product)],
    ["column.amount", h("strong", {}, asMoney(order.amount))],
    ["column.term", t("months", { n: order.term_months })],
    ["column.created", time(order.created_at)],
    ["column.updated", time(order.updated_at)],
  ]);
}

function decision(order) {
  if (order.score === null) {
    return card("decision", [["order.reason", term("reason", order.reason)]], h("p", { class: "pending" }, t("order.pending")));
  }
  const reasons = order.reasons ?? [];
  return card("decision", [
    ["column.score", score(order)],
    ["order.reason", term("reason", order.reason)],
    reasons.length ? ["order.reasons", h("ul", {}, reasons.map((reason) => h("li", {}, term("factor", reason))))] : null,
    ["order.model", h("code", {}, order.model_version ?? "–")],
    ["order.policy", h("code", {}, order.policy_version ?? "–")],
    ["order.version", String(order.version)],
  ]);
}

function score(order) {
  const bar = (width, name) => svg("rect", { class: name, width, height: 6 });
  return h("span", { class: "score", "data-status": order.status },
    h("strong", {}, String(order.score)), h("span", { class: "note" }, ` ${t("order.of", { max: MAX_SCORE })}`),
    svg("svg", { class: "gauge", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
      bar(100, "track"), bar((100 * order.score) / MAX_SCORE, "fill")));
}

function timeline(order) {
  const steps = order.timeline ?? [];
  const items = steps.map((step, place) => {
    // When a state that has passed began is not always known: only the last one is kept.
    const before = steps.slice(0, place).findLast((each) => each.at);
    const after = step.at && before ? (new Date(step.at) - new Date(before.at)) / 1000 : 0;
    return h("li", { "data-status": step.status },
      h("p", {}, h("strong", {}, t(`status.${step.status}`)), after > 0 && h("span", { class: "after" }, `+${asDuration(after)}`)),
      h("p", { class: "note" }, step.at && h("time", { datetime: step.at, title: asFullTime(step.at) }, asTime(step.at)),
        step.reason && ` · ${term("reason", step.reason)}`));
  });
  return h("section", { class: "card timeline", "aria-labelledby": "timeline" }, h("h2", { id: "timeline" }, t("order.timeline")), h("ol", {}, items));
}

function card(name, facts, more = null) {
  const rows = facts.filter(Boolean).map(([label, value]) => h("div", {}, h("dt", {}, t(label)), h("dd", {}, value)));
  return h("section", { class: `card ${name}`, "aria-labelledby": name }, h("h2", { id: name }, t(`order.${name}`)), h("dl", { class: "facts" }, rows), more);
}

function time(iso) {
  return h("time", { datetime: iso }, asFullTime(iso));
}

function copyButton(id) {
  if (!navigator.clipboard) return null; // only on safe origins
  const button = h("button", { type: "button", class: "quiet" }, t("order.copy"));
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(id).catch(() => null);
    button.textContent = t("order.copied");
    announce(t("order.copied"));
    setTimeout(() => (button.textContent = t("order.copy")), 2_000);
  });
  return button;
}
