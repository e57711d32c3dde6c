// Numbers, money and times in the reader's locale and time zone.
import { locale, t } from "./words.js";

const money = new Intl.NumberFormat(locale, { style: "currency", currency: "BRL" });
const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(locale, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(locale, { day: "2-digit", month: "short" });
const full = new Intl.DateTimeFormat(locale, { dateStyle: "long", timeStyle: "medium" });

/** `amount` is a decimal text; Intl takes it as it is, without a float between. */
export const asMoney = (amount) => money.format(amount);
export const asCount = (number) => whole.format(number);
export const asNumber = (number) => (number >= 100 ? whole : fine).format(number);
export const asShare = (share) => percent.format(share);
export const asFullTime = (iso) => full.format(new Date(iso));
export const asClock = (iso) => clock.format(new Date(iso));

/** The time for today, day and time before. */
export function asTime(iso, now = new Date()) {
  const at = new Date(iso);
  return at.toDateString() === now.toDateString() ? clock.format(at) : `${day.format(at)} ${clock.format(at)}`;
}

/** Seconds as people read them: 40 ms, 1.2 s, 3 min. */
export function asDuration(seconds) {
  if (seconds === null || seconds === undefined) return t("unknown");
  if (seconds < 0.0005) return `0\u00a0s`;
  if (seconds < 1) return `${whole.format(seconds * 1000)}\u00a0ms`;
  if (seconds < 120) return `${asNumber(seconds)}\u00a0s`;
  return seconds < 7200 ? `${whole.format(seconds / 60)}\u00a0min` : `${fine.format(seconds / 3600)}\u00a0h`;
}

/** An order id's first block: enough to tell orders apart by eye. */
export const shortId = (id) => id.slice(0, 8);
