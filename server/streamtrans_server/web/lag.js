/**
 * Computation-aware lag: how long a committed word came after the source word it waited for was sent, in ms.
 *
 * It counts source words as they go out, as the engine counts them. It does not know sessions.
 */

const RECENT = 20; // words

export class LagMeter {
  #sentAt = [];
  #recent = [];

  /** `count` source words went out at `now` (ms). */
  sent(count, now) {
    for (let i = 0; i < count; i++) this.#sentAt.push(now);
  }

  /** A committed word came at `now`; `read` source words had been READ for it. */
  came(read, now) {
    const sentAt = this.#sentAt[Math.min(read, this.#sentAt.length) - 1];
    if (sentAt !== undefined) this.add(now - sentAt);
  }

  /** The lag of one more word in ms. */
  add(ms) {
    this.#recent = [...this.#recent, ms].slice(-RECENT);
  }

  /** The median of the last words, or null. */
  get median() {
    const sorted = [...this.#recent].sort((a, b) => a - b);
    return sorted.length ? sorted[Math.floor(sorted.length / 2)] : null;
  }
}
