/**
 * A sample rate converter that carries its state: any cutting of a signal into pieces gives the same samples.
 *
 * Windowed sinc (Kaiser), in phases: J. O. Smith, "Digital Audio Resampling", eq. 1; cut off below the lower of the
 * two Nyquist frequencies. It knows numbers only, no devices.
 */

const ZEROS = 24; // zero crossings of the sinc on either side, at the lower rate
const BETA = 9; // of the Kaiser window: 90 dB
const ROLLOFF = 0.94; // of the lower Nyquist frequency

export class Resampler {
  /** From `from` Hz to `to` Hz, both whole numbers. The output starts with the first input sample: no delay to undo. */
  constructor(from, to) {
    if (![from, to].every((rate) => Number.isInteger(rate) && rate > 0)) {
      throw new RangeError(`rates are positive whole numbers of Hz, not ${from} and ${to}`);
    }
    const common = gcd(from, to);
    this.up = to / common;
    this.down = from / common;
    this.half = from === to ? 0 : Math.ceil((ZEROS * Math.max(from, to)) / to);
    this.phases = from === to ? [Float32Array.of(1)] : phases(this.up, this.half, Math.min(1, to / from) * ROLLOFF);
    this.past = new Float32Array(this.half); // silence before the beginning
    this.next = 0; // position of the next output sample in units of 1 / up input samples, counted from past[half]
  }

  /** The output samples (Float32Array) that `samples` (Float32Array) complete. */
  push(samples) {
    const input = new Float32Array(this.past.length + samples.length);
    input.set(this.past);
    input.set(samples, this.past.length);
    const { up, down, half } = this;
    const width = 2 * half + 1;
    const count = Math.max(0, Math.ceil(((input.length - width + 1) * up - this.next) / down));
    const output = new Float32Array(count);
    for (let i = 0; i < count; i++, this.next += down) {
      const from = Math.floor(this.next / up);
      const taps = this.phases[this.next % up];
      let sum = 0;
      for (let t = 0; t < width; t++) sum += taps[t] * input[from + t];
      output[i] = sum;
    }
    const used = Math.min(Math.floor(this.next / up), input.length);
    this.past = input.slice(used);
    this.next -= used * up;
    return output;
  }

  /** The last output samples: the input is over. */
  end() {
    return this.push(new Float32Array(this.half));
  }
}

/** Samples in [-1, 1] as 16 bit PCM, clipped; the reverse of what Chromium's decoder does, so that it is exact. */
export function toPcm(samples) {
  const pcm = new Int16Array(samples.length);
  for (let i = 0; i < samples.length; i++) {
    const sample = Math.max(-1, Math.min(1, samples[i]));
    pcm[i] = Math.round(sample * (sample < 0 ? 32768 : 32767));
  }
  return pcm;
}

/** Filter taps for each of `up` positions between two input samples. `cutoff` is relative to the input's Nyquist. */
function phases(up, half, cutoff) {
  return Array.from({ length: up }, (_, phase) => {
    const taps = new Float32Array(2 * half + 1);
    let sum = 0;
    for (let t = 0; t < taps.length; t++) {
      const x = t - half - phase / up;
      const inside = 1 - (x / (half + 1)) ** 2;
      taps[t] = cutoff * sinc(cutoff * x) * (bessel(BETA * Math.sqrt(inside)) / bessel(BETA));
      sum += taps[t];
    }
    return taps.map((tap) => tap / sum);
  });
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** The modified Bessel function of order zero, by its power series. */
function bessel(x) {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > 1e-12 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function gcd(a, b) {
  return b === 0 ? a : gcd(b, a % b);
}
