// The login form. Without this script it works too: the form posts by itself.
import { remember, t, translate } from "./words.js";

translate(document);
document.title = `${t("login.title")} · creditstream`;
const form = document.querySelector("form");
const refused = document.querySelector("#refused");
if (new URLSearchParams(location.search).has("failed")) tell(t("login.refused"));

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  refused.hidden = true;
  const answer = await post().catch(() => null);
  if (answer && (answer.ok || answer.type === "opaqueredirect")) {
    remember("session", "open"); // the page then shows how to log out; the session itself is a cookie that scripts can't see
    location.assign("/");
    return;
  }
  const seconds = Number(answer?.headers.get("Retry-After"));
  if (!answer) tell(t("login.away"));
  else tell(answer.status === 429 ? t("login.slow", { n: seconds || 60 }) : t("login.refused"));
  form.token.select();
});

function tell(text) {
  refused.textContent = text;
  refused.hidden = false;
}

function post() {
  return fetch("/login", { method: "POST", body: new URLSearchParams(new FormData(form)), redirect: "manual" });
}
