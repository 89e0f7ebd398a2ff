/**
 * What a session must remember to come back: what went out, and what was told.
 *
 * It knows commands, events and words. It does not know sockets.
 */

/** What went out and may be needed again: commands in order, a text with what is not READ of it. */
export class Outgoing {
  lost = 0; // no text is ever given up
  #openedAt = Date.now();
  #commands = []; // {command, rest, again}
  #gone = 0; // commands before the first of these
  #clocked = false; // does the client tell the source clock?

  add(command) {
    this.#clocked ||= command.at !== undefined;
    this.#commands.push({ command, rest: command.type === "text" ? command.text : "" });
  }

  /** The commands that a server lacks which has the first `count`. */
  after(count) {
    return this.#commands.slice(Math.max(0, count - this.#gone)).map(({ command }) => command);
  }

  /** One more word was READ: take it off, over as many pieces as it came in. */
  source() {
    let begun = false;
    for (const [i, each] of this.#commands.entries()) {
      if (each.command.type !== "text") {
        if (begun) return;
        continue;
      }
      if (begun && /^\s/.test(each.rest)) return;
      const [taken] = each.rest.match(begun ? /^\S*/ : /^\s*\S*/);
      each.rest = each.rest.slice(taken.length);
      begun ||= taken.trim() !== "";
      if (each.rest) return this.#forget(i);
    }
  }

  marked(id) {
    const i = this.#commands.findIndex(({ command }) => command.type === "mark" && command.id === id);
    if (i >= 0) this.#forget(i + 1);
  }

  segment() {}

  changed() {}

  /** A new session begins with these words, which were READ once, and then with what was not READ. Returns its clock in ms. */
  restart(words) {
    const text = words.map((word) => `${word} `).join("");
    const left = this.#commands.filter(({ command, rest, again }) => !again && (command.type !== "text" || rest.trim()));
    this.#gone = 0;
    this.#commands = left.map(({ command, rest }) => ({ command: rest ? { ...command, text: rest } : command, rest }));
    if (text) this.#commands.unshift({ command: { type: "text", text }, rest: text, again: true });
    return this.#clocked ? 0 : Date.now() - this.#openedAt;
  }

  #forget(count) {
    this.#commands.splice(0, count);
    this.#gone += count;
  }
}

/** The events so far, as far as a new session needs them: the open segment, and what counts on over sessions. */
export class Story {
  #open = { source: [], target: [] }; // words of the open segment
  #count = { source: 0, target: 0 }; // words so far
  #base = { source: 0, target: 0, at: 0 }; // of the server's session within this one
  #again = { source: 0, target: 0 }; // events that tell what was told before
  #told = 0; // ms, the end of the last spoken word
  #seq = 0;

  /** Committed words of the open segment, for `Start.prefix`. */
  get prefix() {
    return [...this.#open.target];
  }

  /** Words of the open segment that were READ. */
  get read() {
    return [...this.#open.source];
  }

  /** An event as its listeners see it, counted through all sessions; `again` when they saw it before. */
  take(event) {
    const { type } = event;
    const base = this.#base;
    if (this.#again[type] > 0) {
      this.#again[type] -= 1;
      if (!this.#later(event)) return { ...event, again: true };
      this.#again.source = 0; // this time it heard fewer words
      base.source = this.#count.source - event.index;
    }
    const told = { ...event, seq: ++this.#seq };
    for (const time of ["at", "begin", "end"]) if (told[time] !== undefined) told[time] += base.at;
    if (type === "source") this.#told = told.end ?? 0;
    if (told.index !== undefined) told.index += type === "target" ? base.target : base.source;
    if (told.read !== undefined) told.read += base.source;
    if (told.source_words !== undefined) told.source_words += base.source;
    if (told.target_words !== undefined) told.target_words += base.target;
    if (this.#open[type]) {
      this.#open[type].push(event.text);
      this.#count[type] += 1;
    } else if (type === "segment") {
      this.#open = { source: [], target: [] };
    }
    return told;
  }

  /** The server's session is lost; the next one begins with the open segment, at `at` ms. */
  restart(at) {
    const { source, target } = this.#open;
    this.#base = { source: this.#count.source - source.length, target: this.#count.target - target.length, at };
    this.#again = { source: source.length, target: target.length };
  }

  /** Was this word spoken after all that were told? */
  #later({ begin, end }) {
    return begin !== undefined && (begin + end) / 2 + this.#base.at > this.#told;
  }
}
