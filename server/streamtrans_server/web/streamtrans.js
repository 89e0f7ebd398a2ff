/**
 * A session with a streamtrans server, for browsers and for every JavaScript runtime with a WebSocket.
 *
 *     import { connect } from "http://127.0.0.1:8765/streamtrans.js";
 *     const session = await connect("ws://127.0.0.1:8765/v1/translate", { policy: "wait-3" });
 *     session.on("target", (word) => console.log(word.text));
 *     session.sendText("I am a student. ");
 *     await session.end();
 *
 * One module, no dependency, types in streamtrans.d.ts, the protocol in docs/protocol.md. It knows messages, their order
 * and how to come back after a lost connection. It does not know where source comes from nor what becomes of the events.
 */

export const PROTOCOL_VERSION = 1;

const FIRST_WAIT = 250; // ms before the first attempt to come back
const LONGEST_WAIT = 5000; // ms between two attempts
const FINAL = new Set(["ended", "failed", "closed"]);

/** The session is over before it was done; `code` as in docs/protocol.md, or connection_lost, or bad_server. */
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
 * back, waits and goes out in order.
 */
export class Session {
  #url;
  #start;
  #patience;
  #listeners = new Map();
  #socket = null;
  #sent = []; // commands that the server may not have taken yet, oldest first
  #taken = 0; // commands before #sent[0]
  #ending = deferred();
  #opening = deferred();
  #lostAt = 0;
  #wait = FIRST_WAIT;
  #timer = 0;

  constructor(url, { source = "en", target = "fr", kind = "text", rate, policy, patience = 60_000 } = {}) {
    this.#url = String(url);
    this.#start = { type: "start", version: PROTOCOL_VERSION, source, target, kind };
    if (policy) this.#start.policy = policy;
    if (kind === "audio") this.#start.rate = rate;
    this.#patience = patience;
    this.ready = null;
    this.state = "connecting";
    this.seq = 0;
    this.opened = this.#opening.promise;
    this.done = this.#ending.promise;
    for (const promise of [this.opened, this.done]) promise.catch(() => {}); // told by `error`, too
    this.#open();
  }

  /** Call `listener` with each event of this type. Returns a function that takes it off again. */
  on(type, listener) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    this.#listeners.get(type).add(listener);
    return () => this.#listeners.get(type).delete(listener);
  }

  /** A piece of source text of any size; `at` is the source clock in ms, else the server's. */
  sendText(text, at) {
    this.#send(at === undefined ? { type: "text", text } : { type: "text", text, at });
  }

  /** A frame of 16 bit mono PCM at the session's rate. */
  sendAudio(samples) {
    if (!(samples instanceof Int16Array)) throw new TypeError("audio is an Int16Array");
    this.#send(samples);
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
    this.#ending.reject(new SessionFailed("closed", "the session was left before it was done"));
  }

  /** Bytes that wait to be sent: a sender that may be faster than the server looks here. */
  get bufferedAmount() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  #send(command) {
    if (FINAL.has(this.state)) throw new SessionFailed("bad_order", `the session is ${this.state}`);
    if (this.state !== "open" || this.ready.resume) this.#sent.push(command);
    if (this.state === "open") this.#write(command);
  }

  #write(command) {
    this.#socket.send(command instanceof Int16Array ? command : JSON.stringify(command));
  }

  #open() {
    const socket = new WebSocket(this.#url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.onopen = () => socket.send(JSON.stringify(this.#startMessage()));
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
  }

  #startMessage() {
    const token = this.ready?.resume;
    return token ? { ...this.#start, resume: token, seq: this.seq } : this.#start;
  }

  #receive(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return this.#fail("bad_server", "the server sent something that is not JSON");
    }
    if (message.type === "ready") return this.#readied(message);
    if (message.type === "error") return this.#fail(message.code, message.text);
    if (message.seq !== undefined) {
      if (message.seq <= this.seq) return; // told again after a return
      if (message.seq !== this.seq + 1) return this.#fail("bad_server", `event ${message.seq} came after ${this.seq}`);
      this.seq = message.seq;
    }
    if (message.type === "done") this.#over("ended");
    this.#tell(message.type, message);
    if (message.type === "done") this.#ending.resolve(message);
  }

  #readied(ready) {
    if (ready.version !== PROTOCOL_VERSION) return this.#fail("unsupported_version", `the server speaks version ${ready.version}`);
    const back = this.ready !== null;
    this.ready = ready;
    this.#wait = FIRST_WAIT;
    this.#lostAt = 0;
    this.#forget(ready.received ?? this.#taken);
    this.#enter("open");
    for (const command of this.#sent) this.#write(command);
    if (!ready.resume) this.#sent = []; // nobody will ask for it again
    this.#opening.resolve(ready);
    this.#tell(back ? "resumed" : "ready", ready);
  }

  /** The server has the first `count` commands of this session. */
  #forget(count) {
    this.#sent.splice(0, Math.max(0, count - this.#taken));
    this.#taken = Math.max(this.#taken, count);
  }

  /** The connection is gone and nobody said why: come back if the server keeps sessions, until patience ends. */
  #lost(code, reason) {
    if (FINAL.has(this.state)) return;
    const now = Date.now();
    this.#lostAt ||= now;
    const why = code === 1006 ? "the connection was lost" : `the connection was closed with ${code} ${reason}`.trim();
    if (!this.ready?.resume) return this.#fail("connection_lost", this.ready ? why : "no server answers, or it is full");
    if (now - this.#lostAt > this.#patience) return this.#fail("connection_lost", `${why}, and did not come back`);
    this.#enter("reconnecting");
    this.#timer = setTimeout(() => this.#open(), this.#wait * (0.5 + Math.random() / 2));
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
    this.#sent = [];
    this.#enter(state);
    this.#socket.close();
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
        queueMicrotask(() => { throw error; }); // a listener's fault is its own: the session goes on
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
