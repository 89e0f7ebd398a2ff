/**
 * Large captions: committed words roll up line by line, and a word that stands never moves sideways.
 *
 * It knows lines. The words come by `word`, or from another window of the same browser by `follow`: the page tells each
 * change on a BroadcastChannel, and the overlay (a browser source in OBS, a window on a projector) shows it. Of a draft
 * stands what fits behind the last word, so that nothing moves for it.
 */

import { rest, sentence } from "./words.js";

const LINE = 32; // characters: large letters, in at most 90 % of the width
const SILENCE = 8000; // ms until an overlay fades

export class RollUp {
  #views = [];
  #lines = [""];
  #draft = [];
  #lang;
  #channel = new BroadcastChannel("streamtrans");

  constructor(lang) {
    this.#lang = lang;
    this.#channel.onmessage = ({ data }) => data === "hello" && this.#tell();
  }

  /** Show the last lines in this element, as many as its data-lines says. */
  show(view) {
    this.#views.push(view);
    this.#tell();
  }

  word(text) {
    const last = this.#lines.at(-1);
    const longer = sentence([last, text]);
    if (last && longer.length > LINE) this.#lines.push(text);
    else this.#lines[this.#lines.length - 1] = longer;
    this.#lines = this.#lines.slice(-6);
    this.#draft = rest(this.#draft, text);
    this.#tell();
  }

  /** Words that may still change, in place of those before. */
  draft(words) {
    this.#draft = words;
    this.#tell();
  }

  /** The next word begins a line. */
  segment() {
    if (this.#lines.at(-1)) this.#lines.push("");
    if (this.#draft.length) this.draft([]);
  }

  #tell() {
    const last = this.#lines.at(-1);
    let longer = last;
    for (const word of this.#draft) {
      const more = sentence([longer, word]);
      if (more.length > LINE) break;
      longer = more;
    }
    const draft = longer.slice(last.length);
    const lines = this.#lines.filter((line, i) => line || (draft && i === this.#lines.length - 1));
    const said = { lines, draft, lang: this.#lang };
    for (const view of this.#views) render(view, said);
    this.#channel.postMessage(said);
  }
}

/** Show in `view` what a page of the same browser says, and fade when it says nothing. */
export function follow(view) {
  const channel = new BroadcastChannel("streamtrans");
  let fading = 0;
  channel.onmessage = ({ data }) => {
    if (!data.lines) return;
    render(view, data);
    view.classList.remove("silent");
    clearTimeout(fading);
    fading = setTimeout(() => view.classList.add("silent"), SILENCE);
  };
  channel.postMessage("hello");
}

function render(view, { lines, draft, lang }) {
  view.lang = lang;
  const shown = lines.slice(-Number(view.dataset.lines));
  const rows = shown.map((line) => {
    const row = document.createElement("p");
    row.textContent = line;
    return row;
  });
  if (draft) {
    const tail = document.createElement("span");
    tail.className = "draft";
    tail.textContent = draft;
    tail.setAttribute("aria-hidden", "true");
    rows.at(-1).append(tail);
  }
  view.replaceChildren(...rows);
}
