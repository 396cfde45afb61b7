// One row of the text in cells, drawn on a canvas: the activation as a bar and a tint, and the guesses under it.

import {guessGlyph} from "./dom.js";
import {rgb} from "./palette.js";

const PAD = 1; // pixels between two guesses

/** Draw the characters `from` to `to`. `look` has the sizes in pixels, the colours and the font; see CellText. */
export function drawRow(canvas, {characters, values, from, to}, look) {
  const {cell, graph, line, height, density, colours} = look;
  const width = (to - from) * cell;
  Object.assign(canvas, {width: Math.round(width * density), height: Math.round(height * density)});
  Object.assign(canvas.style, {width: `${width}px`, height: `${height}px`});
  const context = canvas.getContext("2d");
  context.scale(density, density);
  for (let index = from; index < to; index += 1) {
    const x = (index - from) * cell;
    const value = values[index];
    if (Number.isFinite(value)) {
      const isUp = value >= 0;
      context.fillStyle = rgb(colours[isUp ? "up" : "down"], Math.abs(value));
      context.fillRect(x, graph, cell, line);
      const size = (Math.abs(value) * graph) / 2;
      context.fillStyle = rgb(colours[isUp ? "up-mark" : "down-mark"]);
      context.fillRect(x, graph / 2 - (isUp ? size : 0), cell - 1, size);
    }
    if (look.guess) drawGuesses(context, characters[index], x, look);
  }
  context.fillStyle = rgb(colours.muted, 0.6);
  context.fillRect(0, graph / 2 - 0.25, width, 0.5); // the activation 0
}

function drawGuesses(context, {text, top}, x, {cell, graph, line, guess, font, colours}) {
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.font = font;
  for (const [at, [character, logprob]] of (top ?? []).entries()) {
    const y = graph + line + at * guess + PAD;
    const probability = Math.exp(logprob);
    context.fillStyle = rgb(colours.guessed, probability);
    context.fillRect(x, y, cell - PAD, guess - PAD);
    context.fillStyle = rgb(colours[probability > 0.03 ? "ink" : "muted"]);
    context.fillText([...character].length > 1 ? "·" : guessGlyph(character), x + (cell - PAD) / 2, y + guess / 2);
    if (character === text) {
      context.strokeStyle = rgb(colours.ink);
      context.strokeRect(x + 0.5, y + 0.5, cell - PAD - 1, guess - PAD - 1);
    }
  }
}
