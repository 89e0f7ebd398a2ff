/**
 * A talk: sessions one after another, opened when something is said, their events on one clock.
 *
 * It knows when a session is needed and what a finished one leaves behind. It does not know the page: everything that
 * happens is told to the listeners of `on`, with the types of streamtrans.js, and `sent` with words that went out.
 */

import { Session } from "./streamtrans.js";
import { LagMeter } from "./lag.js";

const PIECE = 1000; // characters of one message, well below every server's limit
export const RATE = 16000; // Hz, of audio

export class Talk {
  #url;
  #listeners = {};
  #turns = []; // one for each session that is not over, oldest first
  #speaking = null; // the turn that takes what is said
  #startedAt = 0;

  /** `model` as /v1/models tells it, `policy` for sessions to come. */
  constructor(url, model, policy) {
    this.#url = url;
    this.model = model;
    this.policy = policy;
    this.drafts = true; // of sessions to come
    this.lag = null; // median of the last words in ms
    this.events = []; // of all sessions; `at` in ms since the talk began
  }

  on(type, listener) {
    (this.#listeners[type] ??= []).push(listener);
  }

  /** Bytes that wait for the network. */
  get waiting() {
    return this.#speaking?.session.bufferedAmount ?? 0;
  }

  /** Whole words, each with the white space behind it. */
  type(text) {
    const { session, unread, lag } = this.#turn("text");
    const words = text.split(/\s+/).filter(Boolean);
    unread.push(...words);
    lag.sent(words.length, performance.now());
    for (let i = 0; i < text.length; i += PIECE) session.sendText(text.slice(i, i + PIECE));
    this.#tell("sent", { words });
  }

  /** A frame of 16 bit mono PCM at RATE. */
  hear(pcm) {
    const turn = this.#turn("audio");
    turn.heardFrom ??= performance.now() - (pcm.length / RATE) * 1000;
    turn.session.sendAudio(pcm);
  }

  /** The end of a sentence. */
  flush() {
    this.#speaking?.session.flush();
  }

  setPolicy(policy) {
    this.policy = policy;
    this.#speaking?.session.setPolicy(policy);
  }

  /** No more source: what was said is translated to its end, then the session is over. */
  async finish() {
    const turn = this.#speaking;
    this.#speaking = null;
    await turn?.session.end().catch(() => {}); // told as `error`
  }

  #turn(kind) {
    if (this.#speaking?.kind === kind) return this.#speaking;
    this.finish();
    const { source, target } = this.model;
    const session = new Session(this.#url, { source, target, kind, rate: RATE, policy: this.policy, drafts: this.drafts });
    this.#startedAt ||= Date.now();
    const turn = { session, kind, offset: Date.now() - this.#startedAt, lag: new LagMeter(), unread: [], held: [] };
    this.#turns.push(turn);
    this.#speaking = turn;
    session.on("*", (event) => this.#take(turn, event));
    this.#take(turn, { type: "state", state: "connecting" });
    return turn;
  }

  /** Events of a turn wait until the turn before it is over: the words of two sessions never mix. */
  #take(turn, event) {
    if (turn !== this.#turns[0]) {
      turn.held.push(event);
      return;
    }
    this.#show(turn, event);
    if (event.type !== "done" && event.type !== "error") return;
    if (turn === this.#speaking) this.#speaking = null;
    this.#turns.shift();
    const next = this.#turns[0];
    for (const held of next?.held.splice(0) ?? []) this.#take(next, held);
  }

  #show(turn, event) {
    if (event.type === "target") {
      const now = performance.now();
      if (turn.kind === "text") turn.lag.came(event.read, now);
      else turn.lag.add(now - turn.heardFrom - event.at);
      this.lag = turn.lag.median;
    }
    for (const time of ["at", "begin", "end"]) if (event[time] !== undefined) event = { ...event, [time]: event[time] + turn.offset };
    if (event.seq !== undefined) this.events.push(event);
    if (event.type === "source") turn.unread.shift();
    if (event.type === "error") event = { ...event, unread: turn.unread };
    this.#tell(event.type, event);
  }

  #tell(type, event) {
    for (const listener of this.#listeners[type] ?? []) listener(event);
  }
}
