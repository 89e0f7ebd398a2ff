/**
 * Sound that went out and may be needed again: that of the open segment, and the commands within it.
 *
 * It knows commands and samples; `Outgoing` in comeback.js is the same for text. It does not know sockets.
 */

const FRAME = 32; // ms, of a server's detector of speech: what is heard again begins with one
const LONGEST = 600; // s of sound kept, as in streamtrans_clients/source_audio.py
const SILENCE = 10_000; // ms of sound kept when no word was heard in it: one may have begun

export class OutgoingSound {
  lost = 0; // s of sound that waited too long to be sent
  #perMs;
  #most; // samples that are kept
  #entries = []; // {command, end, waits, answered}: `end` in samples from the opening of the session
  #gone = 0; // commands before the first of these
  #least = 0; // commands that a server must have, as they cannot be sent again
  #end = 0;
  #begin = 0; // of the open segment, in samples
  #base = 0; // where the session on the server began
  #cursor = 0; // the end of the last word

  constructor(rate) {
    this.#perMs = rate / 1000;
    this.#most = Math.round(LONGEST * rate); // whole, or no #giveUp would be enough
  }

  /** `waits`: it is not sent yet. The oldest sound goes when there is more than LONGEST. */
  add(command, waits) {
    if (command instanceof Int16Array) this.#end += command.length;
    this.#entries.push({ command, end: this.#end, waits });
    while (this.#end - this.#begin > this.#most) this.#giveUp();
  }

  /** The commands that a server lacks which has the first `count`; null when some of them are no longer here. */
  after(count) {
    if (count < this.#least) return null;
    const left = this.#entries.slice(Math.max(0, count - this.#gone));
    for (const entry of left) entry.waits = false;
    return left.map(({ command }) => command);
  }

  /** A word was READ. */
  source({ at, end = at }) {
    this.#cursor = this.#base + end * this.#perMs;
  }

  /** A segment is closed: the next one begins where the server says, or else after the last word. */
  segment({ end }) {
    this.#forget(end === undefined ? this.#cursor : this.#base + end * this.#perMs);
  }

  /** `silent`: no word of the open segment was READ so far. */
  marked(id, silent) {
    const mark = this.#entries.find(({ command, answered }) => command.type === "mark" && command.id === id && !answered);
    if (!mark) return;
    mark.answered = true;
    if (!silent) return;
    const frame = FRAME * this.#perMs;
    this.#forget(this.#base + Math.floor((mark.end - this.#base - SILENCE * this.#perMs) / frame) * frame);
  }

  /** The policy was changed: `Start.policy` says so from now on. */
  changed() {
    const policy = this.#entries.find(({ command, answered }) => command.type === "policy" && !answered);
    if (policy) policy.answered = true;
  }

  /** A new session begins with the open segment. Returns where that is, in ms. */
  restart() {
    this.#gone = this.#least = 0;
    this.#base = this.#cursor = this.#begin;
    this.#entries = this.#entries
      .filter(({ answered }) => !answered)
      .map(({ command, end, waits }) => {
        const skip = Math.max(0, this.#begin - (end - command.length));
        return { command: command instanceof Int16Array ? command.subarray(skip) : command, end, waits };
      });
    return this.#begin / this.#perMs;
  }

  /** Sound that waits is lost; if none does, what went out cannot be sent again. */
  #giveUp() {
    const i = this.#entries.findIndex(({ command, waits }) => waits && command instanceof Int16Array);
    if (i < 0) {
      this.#forget(Math.max(this.#cursor, this.#end - this.#most));
      this.#least = this.#gone;
      return;
    }
    const [{ command }] = this.#entries.splice(i, 1);
    for (const entry of this.#entries.slice(i)) entry.end -= command.length;
    this.#end -= command.length;
    this.lost += command.length / this.#perMs / 1000;
  }

  #forget(until) {
    this.#begin = Math.max(this.#begin, Math.round(until));
    const used = ({ command, end, answered }) => end <= this.#begin && (answered || !["mark", "policy", "end"].includes(command.type));
    const first = this.#entries.findIndex((entry) => !used(entry));
    const count = first < 0 ? this.#entries.length : first;
    this.#entries.splice(0, count);
    this.#gone += count;
  }
}
