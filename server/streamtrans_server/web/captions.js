/**
 * Subtitles in SubRip and WebVTT from the events of a session: the rules of `streamtrans_clients/captions.py`,
 * and a test holds the two to the same output.
 */

import { sentence } from "./words.js";

const LINE = 42; // characters of a line
const LINES = 2; // of a cue
const LINGER = 1000; // ms a cue stays after its last word was heard
const PAUSE = 2000; // ms without a word that end a cue
const SHORTEST = 1000; // ms of a cue
const READING = 25; // characters a second: nobody reads faster

/** Words with their times become cues {number, start, end, lines}, each as soon as it is known to be full. */
export class Cues {
  #words = [];
  #first = 0;
  #last = 0;
  #end = 0;
  #number = 0;

  /** The cues that this word closes: those before it. `at` in ms. */
  word(text, at) {
    const closed = [];
    for (const part of parts(text)) {
      const full = filled([...this.#words, part]).length > LINES;
      if (this.#words.length && (full || at - this.#last > PAUSE)) closed.push(...this.#close(at));
      if (!this.#words.length) this.#first = at;
      this.#words.push(part);
      this.#last = at;
    }
    return closed;
  }

  /** The sentence is over, and so is its cue. */
  segment() {
    return this.#words.length ? this.#close(this.#last + LINGER) : [];
  }

  #close(nextAt) {
    const lines = balanced(this.#words);
    const start = Math.max(this.#first, this.#end);
    const letters = lines.reduce((sum, line) => sum + size(line), 0);
    const shortest = Math.max(SHORTEST, (1000 * letters) / READING);
    this.#end = Math.max(start + shortest, Math.min(this.#last + LINGER, nextAt));
    this.#number += 1;
    this.#words = [];
    return [{ number: this.#number, start, end: this.#end, lines }];
  }
}

/** The cues of a list of events; `side` is "source" or "target". A word stands where the last one READ was spoken. */
export function cuesOf(events, side = "target") {
  const cues = new Cues();
  const found = [];
  let heard; // where the last word READ was spoken
  for (const event of events) {
    if (event.type === "source") heard = event.begin ?? event.at;
    if (event.type === side) found.push(...cues.word(event.text, heard ?? event.at));
    else if (event.type === "segment" || event.type === "done") found.push(...cues.segment());
  }
  return [...found, ...cues.segment()];
}

export function srt(cues) {
  return cues.map((cue) => `${cue.number}\n${times(cue, ",")}\n${cue.lines.join("\n")}\n\n`).join("");
}

export function vtt(cues) {
  const escaped = (line) => line.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return `WEBVTT\n\n${cues.map((cue) => `${times(cue, ".")}\n${cue.lines.map(escaped).join("\n")}\n\n`).join("")}`;
}

/** The words in one line where they fit, else in two lines as alike in length as can be. */
function balanced(words) {
  const lines = filled(words);
  if (lines.length !== LINES) return lines;
  let best = null;
  for (let i = 1; i < words.length; i++) {
    const cut = [sentence(words.slice(0, i)), sentence(words.slice(i))];
    const [first, second] = cut.map(size);
    const uneven = Math.abs(first - second);
    if (Math.max(first, second) <= LINE && (best === null || uneven < best.uneven)) best = { cut, uneven };
  }
  return best.cut;
}

function filled(words) {
  const lines = [];
  for (const word of words) {
    const longer = sentence([...lines.slice(-1), word]);
    if (lines.length && size(longer) <= LINE) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/** A word without control characters, cut where it is longer than a line. */
function parts(text) {
  const letters = [...text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "")];
  return Array.from({ length: Math.ceil(letters.length / LINE) }, (_, i) => letters.slice(i * LINE, (i + 1) * LINE).join(""));
}

/** Characters, not UTF-16 units. */
function size(text) {
  return [...text].length;
}

function times(cue, point) {
  return `${clock(cue.start, point)} --> ${clock(cue.end, point)}`;
}

function clock(ms, point) {
  const whole = Math.round(ms);
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  const seconds = two((whole / 1000) % 60);
  return `${two(whole / 3_600_000)}:${two((whole / 60_000) % 60)}:${seconds}${point}${String(whole % 1000).padStart(3, "0")}`;
}
