// What stands around both views: the connection's state, notices, theme, language.
import { $, announce, h, say } from "./dom.js";
import { asClock, asDuration } from "./format.js";
import { language, recall, remember, t, translate } from "./words.js";

const THEMES = ["auto", "light", "dark"];
/** A replica that is this far behind (s) is worth a notice. */
const BEHIND = 10;

export function startFrame() {
  translate(document);
  const other = $("#language");
  other.lang = language === "en" ? "pt-BR" : "en";
  say(other, t("other.language"));
  other.addEventListener("click", () => {
    remember("language", language === "en" ? "pt" : "en");
    location.reload();
  });
  const theme = $("#theme");
  const root = document.documentElement;
  const tell = () => say(theme, t(`theme.${root.dataset.theme ?? "auto"}`));
  theme.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "auto") + 1) % THEMES.length];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    remember("theme", next === "auto" ? null : next);
    tell();
  });
  tell();
  $("#logout").hidden = recall("session") === null;
  $("#logout").addEventListener("submit", () => remember("session", null));
}

export function showConnection(state, before) {
  const place = $("#connection");
  place.dataset.state = state;
  say($("span", place), t(`connection.${state}`));
  notice("stream", state === "reconnecting" ? t("stream.lost") : null);
  if (state === "reconnecting") announce(t("connection.reconnecting"));
  if (state === "live" && before === "reconnecting") announce(t("connection.back"));
}

/** The replica's state and age, from the statistics. */
export function showReplica({ available, replica_lag_s: lag, now }) {
  notice("replica", available ? (lag > BEHIND ? t("replica.behind", { lag: asDuration(lag) }) : null) : t("away.hint"), available ? null : t("away.title"));
  const known = lag !== null && lag !== undefined && available;
  say($("#freshness"), t(known ? "freshness" : "freshness.plain", { lag: asDuration(lag), at: asClock(now) }));
}

/** One line on top; no text: it goes. */
function notice(kind, text, title = null) {
  const place = $("#notices");
  const shown = $(`[data-notice="${kind}"]`, place);
  if (!text) {
    shown?.remove();
    return;
  }
  const line = shown ?? place.appendChild(h("p", { class: "notice", role: "status", "data-notice": kind }));
  const content = title ? `${title}. ${text}` : text;
  say(line, content);
}
