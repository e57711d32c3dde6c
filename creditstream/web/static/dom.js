// Small helpers over the DOM. Text only ever goes in as text: no markup is made from data.

const SVG = "http://www.w3.org/2000/svg";

/** An element: attributes (`class`, `on…` listeners, false and null left out) and children (nodes, texts, null). */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const $ = (selector, root = document) => root.querySelector(selector);

/** Set a text only when it differs: a screen reader and the layout see no change where there is none. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let told = 0;

/** Tell a screen reader, politely. */
export function announce(text) {
  const place = $("#announcer");
  // A text that is the same again is read only when it differs.
  place.textContent = told++ % 2 ? text : `${text}\u00a0`;
}
