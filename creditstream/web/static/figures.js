// The figures on top: today's counts, and how this worker does.
import { h, say, svg } from "./dom.js";
import { asCount, asDuration, asNumber, asShare } from "./format.js";
import { draw, spark, trendOf } from "./spark.js";
import { t } from "./words.js";

const STATUSES = ["approved", "rejected", "under_review"];
/** Lag is sampled by the page: a value each 2 s, two minutes. */
const SAMPLES = 60;

export class Figures {
  #lags = Array(SAMPLES).fill(null);

  constructor() {
    this.counts = Object.fromEntries(["total", ...STATUSES].map((name) => [name, h("dd", {}, "–")]));
    this.share = h("p", { class: "note" });
    this.bars = STATUSES.map((name) => svg("rect", { class: name, y: 0, height: 6, width: 0 }));
    this.cells = {
      rate: cell("rate", spark()),
      latency: cell("latency", spark()),
      lag: cell("lag", spark()),
      risk: cell("risk", svg("svg", { class: "gauge", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
        svg("rect", { class: "track", width: 100, height: 6 }), svg("rect", { class: "fill", width: 0, height: 6 }))),
    };
    this.element = h("div", { class: "figures" }, this.#today(), this.#worker());
  }

  #today() {
    const count = (name, label) => h("div", { class: name }, h("dt", {}, label), this.counts[name]);
    return h("section", { class: "card today", "aria-labelledby": "today" },
      h("h2", { id: "today" }, t("today")),
      h("dl", { class: "counts" },
        count("total", t("today.total")),
        ["under_review", "approved", "rejected"].map((name) => count(name, t(`many.${name}`)))),
      svg("svg", { class: "shares", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" }, this.bars),
      this.share);
  }

  #worker() {
    return h("section", { class: "card worker", "aria-labelledby": "worker" },
      h("h2", { id: "worker" }, t("worker")),
      h("dl", { class: "cells" }, Object.values(this.cells).map((each) => each.element)));
  }

  /** Show what GET /stats gives. */
  show(stats) {
    if (stats.available) this.#showToday(stats.today);
    this.element.classList.toggle("stale", !stats.available);
    const { orders_per_s: rates, latency_p95_ms: latencies, lag_s: lag, lag_records: records, risk } = stats.worker;
    this.#curve("rate", rates, 1, (value) => asNumber(value), Math.max(0, ...rates.slice(-4, -1)));
    this.#curve("latency", latencies, 100, (value) => asDuration(value / 1000), latencies.findLast((value) => value !== null));
    this.#showLag(lag, records);
    this.#showRisk(risk);
  }

  #showToday(today) {
    const total = STATUSES.reduce((sum, name) => sum + (today[name] ?? 0), 0);
    say(this.counts.total, asCount(total));
    let x = 0;
    STATUSES.forEach((name, place) => {
      const width = total ? (100 * (today[name] ?? 0)) / total : 0;
      say(this.counts[name], asCount(today[name] ?? 0));
      this.bars[place].setAttribute("x", x.toFixed(2));
      this.bars[place].setAttribute("width", width.toFixed(2));
      x += width;
    });
    const decided = (today.approved ?? 0) + (today.rejected ?? 0);
    say(this.share, decided ? t("today.rate", { rate: asShare(today.approved / decided) }) : t("today.none"));
  }

  #curve(name, values, floor, format, last) {
    const known = values.filter((value) => value !== null);
    const { value, note, picture } = this.cells[name];
    say(value, last === null || last === undefined ? t("unknown") : format(last));
    say(note, known.length ? t(`${name}.note`, { max: format(Math.max(...known)) }) : "");
    draw(picture, values, floor);
  }

  #showLag(lag, records) {
    this.#lags = [...this.#lags.slice(1), lag ?? null];
    const { element, value, note, picture } = this.cells.lag;
    const trend = trendOf(this.#lags);
    say(value, asDuration(lag));
    const waiting = records === null || records === undefined ? "" : t("lag.records", { n: records });
    say(note, lag === null ? "" : [t(`trend.${trend}`), waiting].filter(Boolean).join(" · "));
    element.dataset.tone = lag > 5 && trend === "up" ? "bad" : "";
    draw(picture, this.#lags, 1);
  }

  #showRisk({ breaker, in_flight: inFlight, limit }) {
    const { element, value, note, picture } = this.cells.risk;
    say(value, t(`risk.${breaker}`));
    say(note, breaker === "closed" ? t("risk.note", { n: inFlight, limit }) : t(`risk.why.${breaker}`));
    element.dataset.tone = { closed: "good", open: "bad" }[breaker] ?? "wait";
    picture.children[1].setAttribute("width", limit ? Math.min(100, (100 * inFlight) / limit).toFixed(1) : 0);
  }
}

function cell(name, picture) {
  const value = h("dd", { class: "value" }, "–");
  const note = h("dd", { class: "note" });
  const element = h("div", { class: `cell ${name}` }, h("dt", {}, t(`${name}.title`)), value, h("dd", { class: "picture" }, picture), note);
  return { element, value, note, picture };
}
