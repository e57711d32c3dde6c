// The page's words in the reader's language: Portuguese unless English was chosen, which is remembered.
import { en } from "./words-en.js";
import { pt } from "./words-pt.js";

export const language = document.documentElement.lang === "en" ? "en" : "pt";
const words = language === "en" ? en : pt;
/** For numbers and dates: the reader's own region of that language, when the browser names one. */
export const locale =
  navigator.languages.find((name) => name.toLowerCase().startsWith(language)) ?? (language === "en" ? "en-US" : "pt-BR");
const plural = new Intl.PluralRules(locale);
const number = new Intl.NumberFormat(locale);

/** The text of `key`; `{name}` in it is the value of that name. With `n`, its plural form where there is one. */
export function t(key, values = {}) {
  const form = "n" in values ? words[`${key}.${plural.select(values.n) === "one" ? "one" : "other"}`] : undefined;
  const text = form ?? words[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? number.format(values[name]) : values[name]));
}

/** A word that comes from the data (a product, a reason): in the reader's language when it is a known one. */
export function term(kind, word) {
  return words[`${kind}.${word}`] ?? String(word).replaceAll("_", " ");
}

/** Put the words into the elements that name theirs by `data-t`. */
export function translate(root) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
}

/** What was remembered under `name`, or null. */
export function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

/** Remember a choice of the reader; a browser that keeps nothing just forgets it. */
export function remember(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // nothing to do: the choice holds for this page
  }
}
