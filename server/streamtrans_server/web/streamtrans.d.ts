/** Types of streamtrans.js. The messages are those of docs/protocol.md; times are milliseconds. */

export declare const PROTOCOL_VERSION: 1;

export interface Options {
  /** Source language, "en" by default. */
  source?: string;
  /** Target language, "fr" by default. */
  target?: string;
  /** What goes in: "text" by default. */
  kind?: "text" | "audio";
  /** Samples a second of audio, one of those that the server's /v1/models lists. */
  rate?: number;
  /** Milliseconds of silence that end a segment of audio, 200 to 5000; the server's choice without it. */
  pause?: number;
  /** Such as "wait-3"; the server's default without it. */
  policy?: string;
  /** Have drafts of what is not committed sent, too: false by default. */
  drafts?: boolean;
  /** Have the server keep the session over a lost connection: true by default. */
  keep?: boolean;
  /** How long to try to come back, 60000 ms by default. */
  patience?: number;
}

export type State = "connecting" | "open" | "reconnecting" | "ended" | "failed" | "closed";

export interface Ready {
  type: "ready" | "resumed";
  version: number;
  session: string;
  model: string;
  source: string;
  target: string;
  kind: "text" | "audio";
  policy: string;
  limits: Record<string, number>;
  token?: string;
  received?: number;
}

interface Numbered {
  /** Counts the events of the session from 1, also over a return. */
  seq: number;
}

/** A source word was READ; `begin` and `end` are where a spoken one lies in the audio of the session. */
export interface Source extends Numbered {
  type: "source";
  text: string;
  index: number;
  at: number;
  begin?: number;
  end?: number;
}

/** A word is committed and never revised; `read` source words had been READ, the last of them at `at`. */
export interface Target extends Numbered {
  type: "target";
  text: string;
  index: number;
  read: number;
  at: number;
  emitted?: number;
}

export interface Segment extends Numbered {
  type: "segment";
  source_words: number;
  target_words: number;
  /** Where it ends in the audio of the session. */
  end?: number;
}

export interface Marked extends Numbered {
  type: "marked";
  id: string;
}

/** The policy holds from source word `index` on; `lag` when the server changed it because the session lags. */
export interface Changed extends Numbered {
  type: "changed";
  policy: string;
  index: number;
  lag?: boolean;
}

export interface Lag extends Numbered {
  type: "lag";
  ms: number;
}

/**
 * What may come next and may also not: words heard and not READ (the last perhaps by half), and words that would be written
 * if no more were READ. The next draft takes its place, a committed word that of its side, `segment` that of both.
 */
export interface Draft {
  type: "draft";
  source: string[];
  target: string[];
}

/** Sound that was kept for a server that could not take it and waited longer than ten minutes: so much of it is lost. */
export interface Lost {
  type: "lost";
  /** In all, whole seconds. */
  seconds: number;
}

export interface Done extends Numbered {
  type: "done";
  source_words: number;
  target_words: number;
}

export interface Failure {
  type: "error";
  code: string;
  text: string;
}

export interface StateChange {
  type: "state";
  state: State;
}

export interface EventMap {
  ready: Ready;
  /** The session is open again after a lost connection. */
  resumed: Ready;
  source: Source;
  target: Target;
  segment: Segment;
  marked: Marked;
  changed: Changed;
  lag: Lag;
  draft: Draft;
  lost: Lost;
  done: Done;
  error: Failure;
  state: StateChange;
  "*": Ready | Source | Target | Segment | Marked | Changed | Lag | Draft | Lost | Done | Failure | StateChange;
}

/** The session is over before it was done; `code` as in docs/protocol.md, or connection_lost, closed, sound_lost or bad_server. */
export declare class SessionFailed extends Error {
  constructor(code: string, text: string);
  readonly code: string;
  readonly text: string;
}

export declare class Session {
  constructor(url: string | URL, options?: Options);
  readonly ready: Ready | null;
  readonly state: State;
  /** Resolves with the server's `ready`; rejects with SessionFailed. */
  readonly opened: Promise<Ready>;
  /** Resolves with `done` when all is translated; rejects with SessionFailed. */
  readonly done: Promise<Done>;
  readonly bufferedAmount: number;
  on<K extends keyof EventMap>(type: K, listener: (event: EventMap[K]) => void): () => void;
  sendText(text: string, at?: number): void;
  sendAudio(samples: Int16Array): void;
  flush(): void;
  mark(id: string): void;
  setPolicy(policy: string): void;
  end(): Promise<Done>;
  close(): void;
}

export declare function connect(url: string | URL, options?: Options): Promise<Session>;
