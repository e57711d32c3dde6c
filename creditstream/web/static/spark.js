// Sparklines: a line over its area, breaks where there is no data. Sizes are attributes: no inline style is needed.
import { svg } from "./dom.js";

const WIDTH = 120;
const HEIGHT = 34;

/** An empty one. The picture is not read out: the figure and its note beside it say the same in words. */
export function spark() {
  return svg(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { class: "area" }),
    svg("path", { class: "line" }),
  );
}

/** Draw `values` (numbers and nulls, oldest first), `floor`: the least that the top of the picture stands for. */
export function draw(element, values, floor) {
  const top = Math.max(floor, ...values.filter((value) => value !== null));
  const step = WIDTH / Math.max(1, values.length - 1);
  const y = (value) => (HEIGHT - 2 - (value / top) * (HEIGHT - 5)).toFixed(1);
  const runs = [];
  values.forEach((value, place) => {
    if (value === null) return;
    if (place === 0 || values[place - 1] === null) runs.push([]);
    runs.at(-1).push([(place * step).toFixed(1), y(value)]);
  });
  const line = runs.map((run) => `M${(run.length > 1 ? run : [run[0], run[0]]).map((point) => point.join(" ")).join("L")}`);
  const area = runs.map((run, number) => `${line[number]}L${run.at(-1)[0]} ${HEIGHT}L${run[0][0]} ${HEIGHT}Z`);
  element.children[0].setAttribute("d", area.join(""));
  element.children[1].setAttribute("d", line.join(""));
}

/** "up", "down" or "flat": the last third of the values against the first. */
export function trendOf(values) {
  const known = values.filter((value) => value !== null);
  if (known.length < 6) return "flat";
  const third = Math.floor(known.length / 3);
  const mean = (part) => part.reduce((sum, value) => sum + value, 0) / part.length;
  const [before, now] = [mean(known.slice(0, third)), mean(known.slice(-third))];
  // Below half a second of lag the difference is how polls happen to fall.
  if (Math.abs(now - before) < Math.max(0.5, 0.1 * Math.max(before, now))) return "flat";
  return now > before ? "up" : "down";
}
