/**
 * The words of a session on the page: segments one below the other, source on the left, translation on the right.
 *
 * It knows the page's list and the order of events. It does not know sessions. What was typed and is not READ yet stands
 * behind the source, a draft behind what is committed of its side; both are marked as such. A screen reader hears whole
 * phrases of the translation from a live region of its own, not single words, and no drafts.
 */

import { blank, rest, sentence } from "./words.js";

const KEPT = 400; // segments on the page; older ones stay in the subtitles
const PHRASE = 12; // words said at once at most

export class Transcript {
  #list;
  #spoken;
  #languages;
  #row = null;
  #pending = [];
  #draft = { source: [], target: [] };
  #phrase = [];

  constructor(list, spoken, { source, target }) {
    this.#list = list;
    this.#spoken = spoken;
    this.#languages = { source, target };
    spoken.lang = target;
  }

  /** Words on their way: shown until the server has READ them. */
  sent(words) {
    this.#pending.push(...words);
    this.#showPending();
  }

  /** The words that no `source` event spoke of yet. */
  get pending() {
    return [...this.#pending];
  }

  source(word) {
    this.#pending.shift();
    append(this.#open().source.committed, word.text);
    this.#showPending();
    this.#advance("source", word.text);
  }

  target(word) {
    append(this.#open().target.committed, word.text);
    this.#advance("target", word.text);
    this.#phrase.push(word.text);
    if (this.#phrase.length >= PHRASE || /[.!?…。！？]$/.test(word.text)) this.#say();
    this.#scroll();
  }

  /** Words that may still change, in place of the draft before. */
  draft({ source, target }) {
    this.#draft = { source, target };
    if (!this.#row && !source.length && !target.length) return;
    for (const side of ["source", "target"]) this.#showDraft(side);
    this.#scroll();
  }

  segment() {
    this.#say();
    if (!this.#row) return;
    this.draft({ source: [], target: [] });
    this.#row.source.pending.textContent = "";
    this.#row = null;
    if (this.#pending.length) this.#showPending();
  }

  /** Something to know between two segments. */
  gap(text) {
    this.segment();
    this.#list.append(element("li", "gap", text));
    this.#scroll();
  }

  /** No further word will be READ. */
  drop() {
    this.#pending = [];
    this.segment();
  }

  #open() {
    if (this.#row) return this.#row;
    const item = element("li", "segment");
    this.#row = { source: this.#side(item, "source"), target: this.#side(item, "target") };
    this.#list.append(item);
    while (this.#list.children.length > KEPT) this.#list.firstElementChild.remove();
    return this.#row;
  }

  #side(item, name) {
    const line = element("p", name);
    line.lang = this.#languages[name];
    const [committed, pending, draft] = ["committed", "pending", "draft"].map((kind) => element("span", kind));
    draft.setAttribute("aria-hidden", "true"); // what may be taken back is not read out
    line.append(committed, pending, draft);
    item.append(line);
    return { committed, pending, draft };
  }

  /** A word is committed: what is left of the draft behind it. */
  #advance(side, word) {
    this.#draft[side] = rest(this.#draft[side], word);
    this.#showDraft(side);
  }

  #showDraft(side) {
    const { committed, draft } = this.#open()[side];
    const said = sentence(this.#draft[side]);
    draft.textContent = blank(committed.textContent, said) + said;
  }

  #showPending() {
    if (!this.#pending.length && !this.#row) return;
    const { committed, pending } = this.#open().source;
    const said = sentence(this.#pending);
    pending.textContent = blank(committed.textContent, said) + said;
    this.#scroll();
  }

  #say() {
    if (!this.#phrase.length) return;
    this.#spoken.append(element("p", "", sentence(this.#phrase)));
    this.#phrase = [];
    while (this.#spoken.children.length > 5) this.#spoken.firstElementChild.remove();
  }

  /** Stay at the end, unless the reader went back. */
  #scroll() {
    const list = this.#list;
    if (list.scrollHeight - list.scrollTop - list.clientHeight < 160) list.scrollTop = list.scrollHeight;
  }
}

function append(place, text) {
  const between = blank(place.lastChild?.textContent, text);
  if (between) place.append(between);
  place.append(element("span", "word", text));
}

function element(name, kind, text = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.textContent = text;
  return made;
}
