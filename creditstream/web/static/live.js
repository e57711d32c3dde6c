// The stream of changes. The browser reconnects and resumes by Last-Event-ID; what it gives up on is opened anew here.
import { getJson } from "./api.js";

/** Statistics come every 2 s: a stream that is silent for this long is dead, whatever the socket says. */
const SILENT = 15_000;
/** A page that nobody sees lets go of its stream after this long: browsers allow six per server. */
const UNSEEN = 120_000;
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 8_000;

/** Events: `state` (this.state changed), `change` (detail: a status record), `stats`, `gap` (what came before now was not streamed). */
export class Live extends EventTarget {
  state = "connecting";
  #source = null;
  #pause = FIRST_PAUSE;
  #timer = 0;
  #watch = 0;

  open() {
    clearTimeout(this.#timer);
    this.#source?.close();
    const source = (this.#source = new EventSource("/events"));
    source.addEventListener("hello", (event) => this.#hello(JSON.parse(event.data)));
    source.addEventListener("status", (event) => this.#hear("change", event));
    source.addEventListener("stats", (event) => this.#hear("stats", event));
    source.onerror = () => this.#lost(source);
    this.#listen();
  }

  /** Follow whether the page is seen. */
  heed(page) {
    let timer = 0;
    page.addEventListener("visibilitychange", () => {
      clearTimeout(timer);
      if (page.hidden) timer = setTimeout(() => this.#sleep(), UNSEEN);
      else if (this.state === "asleep") this.open();
    });
  }

  #hello({ resumed }) {
    this.#listen();
    this.#pause = FIRST_PAUSE;
    if (!resumed) this.dispatchEvent(new Event("gap"));
    this.#turn("live");
  }

  #hear(name, event) {
    this.#listen();
    this.dispatchEvent(new CustomEvent(name, { detail: JSON.parse(event.data) }));
  }

  #listen() {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => {
      this.#turn("reconnecting");
      this.open();
    }, SILENT);
  }

  #lost(source) {
    if (source !== this.#source) return;
    this.#turn("reconnecting");
    if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    clearTimeout(this.#watch);
    // A stream's refusal has no status in a page: an ordinary question shows whether a login is missing.
    getJson("/stats").catch(() => null);
    this.#timer = setTimeout(() => this.open(), this.#pause * (0.75 + Math.random() / 2));
    this.#pause = Math.min(LONGEST_PAUSE, this.#pause * 2);
  }

  #sleep() {
    this.#source?.close();
    clearTimeout(this.#watch);
    clearTimeout(this.#timer);
    this.#turn("asleep");
  }

  #turn(state) {
    if (state === this.state) return;
    const before = this.state;
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { before } }));
  }
}
