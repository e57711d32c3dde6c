// PURE: the filters as they stand in the address, as the API wants them, and as a test of one order.

export const NAMES = ["status", "product", "customer", "from", "to"];
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const DAY = /^\d{4}-\d{2}-\d{2}$/;

export const isOrderId = (text) => UUID.test(text);

/** {status, product, customer, from, to, cursor}: those that are given. */
export function readFilters(search) {
  const given = new URLSearchParams(search);
  return Object.fromEntries([...NAMES, "cursor"].map((name) => [name, given.get(name)?.trim()]).filter(([, value]) => value));
}

/** The page's own address: one that can be shared. */
export function addressOf(filters) {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value));
  return query.size ? `/?${query}` : "/";
}

/** The API's address. A day is the reader's own: from its first moment there to the next day's. */
export function questionOf(filters, limit) {
  const query = new URLSearchParams({ ...filters, limit });
  for (const [name, end] of [["from", false], ["to", true]]) {
    const bound = filters[name] && moment(filters[name], end);
    if (bound) query.set(name, bound.toISOString());
  }
  return `/orders?${query}`;
}

/** The first moment of a day, or the first after it; a full date-time is itself. Undefined: it is neither. */
function moment(text, isEnd) {
  const at = new Date(DAY.test(text) ? `${text}T00:00:00` : text);
  if (isEnd && DAY.test(text)) at.setDate(at.getDate() + 1);
  return Number.isNaN(at.getTime()) ? undefined : at;
}

export function matches(filters, order) {
  if (filters.status && order.status !== filters.status) return false;
  if (filters.product && order.product !== filters.product) return false;
  if (filters.customer && order.customer_id !== filters.customer) return false;
  const created = new Date(order.created_at);
  const [first, last] = [filters.from && moment(filters.from, false), filters.to && moment(filters.to, true)];
  return !(first && created < first) && !(last && created >= last);
}

export const isFiltered = (filters) => NAMES.some((name) => filters[name]);
