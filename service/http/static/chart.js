// Draws the curves of a training, and losses on one line, as SVG.

import {svg} from "./dom.js";

const HEIGHT = 270;
const EDGE = {left: 40, right: 12, top: 24, bottom: 34};

/** About `wanted` round numbers between two numbers. */
export function ticks(low, high, wanted = 4) {
  const rough = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((one) => one * power >= rough);
  const first = Math.ceil(low / step);
  return Array.from({length: Math.floor(high / step + 1e-9) - first + 1}, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

/**
 * Curves over one axis. A series has `points` ([x, y] pairs), a `kind` (a class) and a `label`; `mark` is an x where a
 * rule is drawn.
 */
export function curves(series, {width, label, xLabel, yLabel, formatX, mark = null}) {
  const points = series.flatMap((one) => one.points);
  if (!points.length) return svg("svg", {width, height: 0, role: "img", "aria-label": label});
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const [low, high] = [Math.min(...ys), Math.max(...ys)];
  const margin = (high - low) * 0.08 || 0.1;
  const x = axis(Math.min(0, ...xs), Math.max(...xs), EDGE.left, width - EDGE.right);
  const y = axis(low - margin, high + margin, HEIGHT - EDGE.bottom, EDGE.top);
  const rows = ticks(low - margin, high + margin).map((at) => [
    svg("line", {class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: y(at), y2: y(at)}),
    svg("text", {x: EDGE.left - 8, y: y(at) + 4, "text-anchor": "end"}, String(at)),
  ]);
  const columns = ticks(0, Math.max(...xs), width < 480 ? 3 : 6).map((at) =>
    svg("text", {x: x(at), y: HEIGHT - EDGE.bottom + 18, "text-anchor": at === 0 ? "start" : "middle"}, formatX(at)));
  const lines = series.map(({points: its, kind}) =>
    svg("polyline", {class: `curve ${kind}`, points: its.map(([px, py]) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`).join(" ")}));
  const rule = mark === null ? null : svg("line", {class: "rule", x1: x(mark), x2: x(mark), y1: EDGE.top, y2: HEIGHT - EDGE.bottom});
  const dots = mark === null ? [] : series.flatMap(({points: its, kind}) => {
    const found = its.find(([px]) => px === mark);
    return found ? svg("circle", {class: `dot ${kind}`, cx: x(mark), cy: y(found[1]), r: 4}) : [];
  });
  return svg("svg", {width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label}, rows, columns,
    svg("text", {x: 0, y: 10}, yLabel), svg("text", {x: width - EDGE.right, y: HEIGHT - 2, "text-anchor": "end"}, xLabel), rule, lines, dots);
}

function axis(low, high, from, to) {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

/** Losses on one line from 0 to 6 bits, or more where one is larger: `marks` have a `value`, a `label` and a `kind`. */
export function scale(marks, {width, label}) {
  const most = Math.max(6, ...marks.map((one) => one.value));
  const x = axis(0, most, 0, width);
  const sorted = marks.toSorted((one, other) => one.value - other.value);
  const places = sorted.map(({value, label: name, kind}, index) => {
    const anchor = x(value) < 70 ? "start" : x(value) > width - 70 ? "end" : "middle";
    const isNear = index > 1 && x(value) - x(sorted[index - 2].value) < 90; // its label is above the one before
    return [
      svg("line", {class: `place ${kind}`, x1: x(value), x2: x(value), y1: 32, y2: 48}),
      svg("text", {x: x(value), y: index % 2 ? 68 : isNear ? 10 : 24, "text-anchor": anchor, class: kind}, name),
    ];
  });
  return svg("svg", {width, height: 92, viewBox: `0 0 ${width} 92`, role: "img", "aria-label": label},
    svg("line", {class: "axis", x1: 0, x2: width, y1: 40, y2: 40}), svg("text", {x: 0, y: 86}, "0"),
    svg("text", {x: width, y: 86, "text-anchor": "end"}, `${most.toFixed(0)} bits`), places);
}
