/** Runs on the audio thread: blocks of the microphone become frames of 16 bit mono PCM at the wanted rate. */

import { Resampler, toPcm } from "./resampler.js";

class Capture extends AudioWorkletProcessor {
  constructor({ processorOptions: { rate, frame } }) {
    super();
    this.resampler = new Resampler(sampleRate, rate);
    this.frame = new Float32Array(frame);
    this.filled = 0;
    this.over = false;
    this.port.onmessage = () => this.end();
  }

  /** Called for each block of 128 samples: `inputs[0]` has one array for each channel, or none while muted. */
  process([channels]) {
    if (channels.length && !this.over) this.take(this.resampler.push(mono(channels)));
    return !this.over;
  }

  take(samples) {
    for (let from = 0; from < samples.length; ) {
      const part = samples.subarray(from, from + this.frame.length - this.filled);
      this.frame.set(part, this.filled);
      this.filled += part.length;
      from += part.length;
      if (this.filled === this.frame.length) this.post();
    }
  }

  post() {
    const pcm = toPcm(this.frame.subarray(0, this.filled));
    this.filled = 0;
    this.port.postMessage(pcm, [pcm.buffer]);
  }

  /** The last, shorter frame, then an empty message. */
  end() {
    this.take(this.resampler.end());
    if (this.filled) this.post();
    this.over = true;
    this.port.postMessage(null);
  }
}

function mono(channels) {
  if (channels.length === 1) return channels[0];
  return channels[0].map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);
}

registerProcessor("capture", Capture);
