/**
 * A session with a streamtrans server, for browsers and for every JavaScript runtime with a WebSocket.
 *
 *     import { connect } from "http://127.0.0.1:8765/streamtrans.js";
 *     const session = await connect("ws://127.0.0.1:8765/v1/translate", { policy: "wait-3" });
 *     session.on("target", (word) => console.log(word.text));
 *     session.sendText("I am a student. ");
 *     await session.end();
 *
 * No dependency and no build step, types in streamtrans.d.ts, the protocol in docs/protocol.md. It knows messages, their order
 * and how to come back after a lost connection. It does not know where source comes from nor what becomes of the events.
 */

import { Outgoing, Story } from "./comeback.js";
import { OutgoingSound } from "./outgoing-sound.js";

export const PROTOCOL_VERSION = 1;

const FIRST_WAIT = 250; // ms before the first attempt to come back
const LONGEST_WAIT = 5000; // ms between two attempts
const ACK_EVERY = 64; // events
const FRAME = 16384; // samples of one message, well below every server's limit
const MARK_EVERY = 50; // frames of audio: 5 s of frames of 100 ms
const OWN_MARK = "streamtrans.js:";
const FINAL = new Set(["ended", "failed", "closed"]);

/** The session is over before it was done; `code` as in docs/protocol.md, or connection_lost, closed, sound_lost or bad_server. */
export class SessionFailed extends Error {
  constructor(code, text) {
    super(`${code}: ${text}`);
    this.name = "SessionFailed";
    this.code = code;
    this.text = text;
  }
}

/** Open a session and wait for the server's `ready`. Rejects with SessionFailed. */
export async function connect(url, options = {}) {
  const session = new Session(url, options);
  await session.opened;
  return session;
}

/**
 * Verbs go out, events come to the listeners of `on`. What is sent before the session is open, or while it is on its way
 * back, waits and goes out in order. A lost connection is taken up again where it broke; when the server itself was lost,
 * a new session takes over the open segment (`Start.prefix`), and the listeners see one session all the same.
 */
export class Session {
  #url;
  #start;
  #patience;
  #listeners = new Map();
  #socket = null;
  #outgoing;
  #story = new Story();
  #ending = deferred();
  #opening = deferred();
  #token = null;
  #seq = 0; // of the last event of the server's session
  #lostAt = 0;
  #wait = FIRST_WAIT;
  #timer = 0;
  #marks = 0;
  #lostSeconds = 0; // of sound that waited too long
  #again = false; // what comes was told before, and drafts are of that
  #offline = () => this.#socket.close(4000, "offline"); // the network says so before TCP notices

  constructor(url, { source = "en", target = "fr", kind = "text", rate, pause, policy, drafts = false, keep = true, patience = 60_000 } = {}) {
    this.#url = String(url);
    this.#start = { type: "start", version: PROTOCOL_VERSION, source, target, kind };
    if (policy) this.#start.policy = policy;
    if (kind === "audio") this.#start.rate = rate;
    if (pause !== undefined) this.#start.pause = pause;
    if (drafts) this.#start.drafts = true;
    this.#outgoing = this.#nothingSent();
    if (keep) this.#start.keep = true;
    this.#patience = patience;
    this.ready = null;
    this.state = "connecting";
    this.opened = this.#opening.promise;
    this.done = this.#ending.promise;
    for (const promise of [this.opened, this.done]) promise.catch(() => {}); // told by `error`, too
    globalThis.addEventListener?.("offline", this.#offline);
    this.#connect();
  }

  /** Call `listener` with each event of this type, "*" for all. Returns a function that takes it off again. */
  on(type, listener) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    this.#listeners.get(type).add(listener);
    return () => this.#listeners.get(type).delete(listener);
  }

  /** A piece of source text of any size; `at` is the source clock in ms, else the server's. */
  sendText(text, at) {
    this.#send(at === undefined ? { type: "text", text } : { type: "text", text, at });
  }

  /** 16 bit mono PCM at the session's rate, any number of samples. */
  sendAudio(samples) {
    if (!(samples instanceof Int16Array)) throw new TypeError("audio is an Int16Array");
    for (let i = 0; i < samples.length; i += FRAME) this.#send(samples.subarray(i, i + FRAME));
    const lost = Math.floor(this.#outgoing.lost);
    if (lost > this.#lostSeconds) this.#tell("lost", { type: "lost", seconds: (this.#lostSeconds = lost) });
    if (!this.#start.keep || this.state !== "open") return;
    if (++this.#marks % MARK_EVERY === 0) this.mark(`${OWN_MARK}${this.#marks}`);
  }

  /** Have all that was sent translated and committed, and go on. */
  flush() {
    this.#send({ type: "flush" });
  }

  /** Ask for `marked` with this id once all that was sent is READ. */
  mark(id) {
    this.#send({ type: "mark", id });
  }

  /** Change the policy, for example to wait-5. */
  setPolicy(policy) {
    this.#start.policy = policy;
    this.#send({ type: "policy", policy });
  }

  /** No more source; resolves with `done` once all is translated. Rejects with SessionFailed. */
  end() {
    this.#send({ type: "end" });
    return this.done;
  }

  /** Leave without waiting for the rest. */
  close() {
    if (FINAL.has(this.state)) return;
    this.#over("closed");
    const left = new SessionFailed("closed", "the session was left before it was done");
    this.#opening.reject(left);
    this.#ending.reject(left);
  }

  /** Bytes that wait to be sent: a sender that may be faster than the server looks here. */
  get bufferedAmount() {
    return this.#socket.bufferedAmount;
  }

  #send(command) {
    if (FINAL.has(this.state)) throw new SessionFailed("bad_order", `the session is ${this.state}`);
    if (this.state !== "open" || this.ready.token) this.#outgoing.add(command, this.state !== "open");
    if (this.state === "open") this.#write(command);
  }

  #nothingSent() {
    return this.#start.kind === "audio" ? new OutgoingSound(this.#start.rate) : new Outgoing();
  }

  #write(command) {
    this.#socket.send(command instanceof Int16Array ? command : JSON.stringify(command));
  }

  #connect() {
    const url = new URL(this.#url);
    if (this.#token) {
      url.searchParams.set("resume", this.#token);
      url.searchParams.set("after", this.#seq);
    }
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.onopen = () => this.#token || this.#write(this.#startMessage());
    socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(data);
    socket.onclose = ({ code, reason }) => socket === this.#socket && this.#lost(code, reason);
  }

  #startMessage() {
    const { prefix } = this.#story;
    return prefix.length ? { ...this.#start, prefix } : this.#start;
  }

  #receive(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return this.#fail("bad_server", "the server sent something that is not JSON");
    }
    if (message.type === "ready") return this.#readied(message);
    if (message.type === "error") return this.#failed(message);
    if (message.type === "draft") return this.#again || this.#tell("draft", message); // gone with the next one
    if (message.seq !== this.#seq + 1) return this.#fail("bad_server", `event ${message.seq} came after ${this.#seq}`);
    this.#seq = message.seq;
    if (this.#token && this.#seq % ACK_EVERY === 0) this.#write({ type: "ack", seq: this.#seq });
    this.#note(message);
    if (message.id?.startsWith(OWN_MARK)) return;
    const event = this.#story.take(message);
    this.#again &&= Boolean(event.again);
    if (event.type === "done") this.#over("ended");
    if (!event.again) this.#tell(event.type, event);
    if (event.type === "done") this.#ending.resolve(event);
  }

  /** What an event says about what went out. */
  #note(message) {
    if (message.type === "source") this.#outgoing.source(message);
    else if (message.type === "segment") this.#outgoing.segment(message);
    else if (message.type === "marked") this.#outgoing.marked(message.id, !this.#story.read.length);
    else if (message.type === "changed" && !message.lag) this.#outgoing.changed();
  }

  #readied(ready) {
    if (ready.version !== PROTOCOL_VERSION) return this.#fail("unsupported_version", `the server speaks version ${ready.version}`);
    const back = this.ready !== null;
    this.ready = ready;
    this.#token = ready.token ?? null;
    this.#wait = FIRST_WAIT;
    this.#lostAt = 0;
    this.#enter("open");
    const left = this.#outgoing.after(ready.received ?? 0);
    if (!left) return this.#fail("sound_lost", "the server asks for sound that waited too long and is no longer here");
    for (const command of left) this.#write(command);
    if (!ready.token) this.#outgoing = this.#nothingSent(); // it cannot come back: nothing is needed again
    this.#opening.resolve(ready);
    const type = back ? "resumed" : "ready";
    this.#tell(type, { ...ready, type });
  }

  /** The server ended the session; one that it merely lost is opened anew. */
  #failed({ code, text }) {
    const gone = code === "resume_lost" || (code === "draining" && this.#token);
    if (!gone) return this.#fail(code, text);
    this.#token = null;
    this.#seq = 0;
    const { read, prefix } = this.#story;
    this.#again = read.length + prefix.length > 0;
    this.#story.restart(this.#outgoing.restart(read));
    this.#socket.close();
  }

  /** The connection is gone and nobody said why: come back if the server keeps sessions, until patience ends. */
  #lost(code, reason) {
    if (FINAL.has(this.state)) return;
    this.#lostAt ||= Date.now();
    const why = code === 1006 ? "the connection was lost" : `the connection was closed with ${code} ${reason}`.trim();
    if (!this.ready) return this.#fail("connection_lost", "no server answers there, or it lets nobody in");
    if (!this.ready.token) return this.#fail("connection_lost", why);
    if (Date.now() - this.#lostAt > this.#patience) return this.#fail("connection_lost", `${why} and did not come back`);
    this.#enter("reconnecting");
    this.#timer = setTimeout(() => this.#connect(), this.#wait * (0.5 + Math.random() / 2));
    this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT);
  }

  #fail(code, text) {
    this.#over("failed");
    const error = new SessionFailed(code, text);
    this.#opening.reject(error);
    this.#ending.reject(error);
    this.#tell("error", { type: "error", code, text });
  }

  #over(state) {
    clearTimeout(this.#timer);
    globalThis.removeEventListener?.("offline", this.#offline);
    this.#enter(state);
    this.#socket.close(1000);
  }

  #enter(state) {
    this.state = state;
    this.#tell("state", { type: "state", state });
  }

  #tell(type, event) {
    for (const listener of [...(this.#listeners.get(type) ?? []), ...(this.#listeners.get("*") ?? [])]) {
      try {
        listener(event);
      } catch (error) {
        globalThis.reportError(error); // a listener's fault is its own: the session goes on
      }
    }
  }
}

/** A promise and its two ends: Promise.withResolvers is too new for the browser inside OBS. */
function deferred() {
  const ends = {};
  ends.promise = new Promise((resolve, reject) => Object.assign(ends, { resolve, reject }));
  return ends;
}
