// PURE: the rows that the page shows, as the server listed them and as the stream has changed them since.
import { matches } from "./filters.js";

export const LIMIT = 50;
/** Changes of the stream that are kept to put over a list from a replica that is behind. */
const KEPT = 1_000;
/** Orders whose changes wait while the page is paused; beyond, the list is loaded anew on resume. */
export const WAITING = 500;

const newer = (one, other) => !other || one.version > other.version;

export class OrderList {
  rows = [];
  /** Ids of rows that no longer match the filters: they leave after a moment, so that one sees what became of them. */
  leaving = new Set();
  #recent = new Map();
  #arrived = [];

  constructor(filters) {
    this.filters = filters;
  }

  /** The rows from the server. Changes that the stream told since are put over them. */
  load(orders) {
    this.rows = orders.map((order) => {
      const live = this.#recent.get(order.order_id);
      return live && newer(live, order) ? live : order;
    });
    this.leaving.clear();
    const listed = new Set(orders.map((order) => order.order_id));
    const missing = this.#arrived.filter((id) => !listed.has(id)).map((id) => this.#recent.get(id));
    for (const order of missing) if (order && this.#belongs(order)) this.rows.unshift(order);
    this.rows.length = Math.min(this.rows.length, LIMIT);
  }

  /** Take changes in. Returns {added, changed}: ids of the rows that came and that are different now. */
  take(changes) {
    const added = new Set();
    const changed = new Set();
    const at = new Map(this.rows.map((row, place) => [row.order_id, place]));
    const fresh = new Map();
    for (const change of changes) {
      const id = change.order_id;
      const place = at.get(id);
      const isRepeat = !newer(change, this.#recent.get(id));
      this.#remember(change);
      if (place !== undefined) {
        if (!newer(change, this.rows[place])) continue;
        this.rows[place] = change;
        changed.add(id);
        if (matches(this.filters, change)) this.leaving.delete(id);
        else this.leaving.add(id);
      } else if (!isRepeat) {
        fresh.delete(id); // the last one to change comes first
        if (this.#belongs(change)) fresh.set(id, change);
      }
    }
    // Partitions come one after the other: within what is shown at once, the latest change is on top.
    const latest = (one, other) => Date.parse(other.updated_at) - Date.parse(one.updated_at);
    const arrived = [...fresh.values()].reverse().sort(latest).slice(0, LIMIT);
    for (const order of arrived) added.add(order.order_id);
    this.rows = [...arrived, ...this.rows].slice(0, LIMIT);
    this.#arrived = [...this.#arrived, ...[...fresh.keys()]].slice(-LIMIT);
    return { added, changed };
  }

  /** Let the rows go that no longer match. */
  sweep() {
    this.rows = this.rows.filter((row) => !this.leaving.has(row.order_id));
    this.leaving.clear();
  }

  /** A page of older orders stays as it is: what comes belongs to the first. */
  #belongs(order) {
    return !this.filters.cursor && matches(this.filters, order);
  }

  #remember(change) {
    if (!newer(change, this.#recent.get(change.order_id))) return;
    this.#recent.delete(change.order_id);
    this.#recent.set(change.order_id, change);
    if (this.#recent.size > KEPT) this.#recent.delete(this.#recent.keys().next().value);
  }
}

/** Changes that wait while the page is paused: bounded, the last one of each order. */
export class Waiting {
  count = 0;
  isOver = false;
  #changes = new Map();

  add(change) {
    this.count += 1;
    const known = this.#changes.get(change.order_id);
    if (known && !newer(change, known)) return;
    this.#changes.delete(change.order_id);
    this.#changes.set(change.order_id, change);
    if (this.#changes.size > WAITING) {
      this.#changes.delete(this.#changes.keys().next().value);
      this.isOver = true;
    }
  }

  /** All that waited, oldest first; it is empty then. */
  drain() {
    const changes = [...this.#changes.values()];
    this.#changes.clear();
    this.count = 0;
    this.isOver = false;
    return changes;
  }
}
