// The page: one stream of changes, and the view that the address names.
import { wayBack } from "./api.js";
import { Board } from "./board.js";
import { $ } from "./dom.js";
import { Figures } from "./figures.js";
import { readFilters } from "./filters.js";
import { showConnection, showReplica, startFrame } from "./frame.js";
import { Live } from "./live.js";
import { OrderPage } from "./order.js";

const SETTLED = 2_500;
const figures = new Figures();
const live = new Live();
let view = null;
let wasAvailable = true;
let settled = 0;

function viewOf({ pathname, search }) {
  const order = /^\/orders\/([^/]+)$/.exec(pathname);
  return order ? new OrderPage(decodeURIComponent(order[1]).toLowerCase()) : new Board(readFilters(search), figures.element, go);
}

/** Show what the address names. `isMove`: the reader asked for it, and the focus follows them. */
function show(isMove) {
  const focused = document.activeElement?.id;
  view?.leave();
  view = viewOf(location);
  document.title = `${view.title} · creditstream`;
  $("#main").replaceChildren(view.element);
  view.load();
  if (!isMove) return;
  // A filter that was just used keeps the focus; else the new view's heading has it.
  const kept = focused && $(`#main #${CSS.escape(focused)}`);
  (kept || $("#main h1")).focus({ preventScroll: Boolean(kept) });
  if (!kept) scrollTo(0, 0);
}

function go(address) {
  if (address !== location.pathname + location.search) history.pushState(null, "", address);
  show(true);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-link]");
  const isPlain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
  if (!link || !isPlain) return;
  event.preventDefault();
  go(link.pathname + link.search);
});
addEventListener("popstate", () => show(true));

live.addEventListener("state", ({ detail }) => showConnection(live.state, detail.before));
live.addEventListener("change", ({ detail }) => view.change(detail));
live.addEventListener("gap", () => {
  view.load();
  // What was committed just before the stream began may not be on the read replica, or in its cache, yet.
  clearTimeout(settled);
  settled = setTimeout(() => view.load(), SETTLED);
});
live.addEventListener("stats", ({ detail }) => {
  figures.show(detail);
  showReplica(detail);
  if (detail.available && !wasAvailable) view.load();
  wasAvailable = detail.available;
});

const back = location.pathname === "/" && !location.search ? wayBack() : null;
if (back) history.replaceState(null, "", back);
startFrame();
show(false);
live.heed(document);
live.open();
