/**
 * Sound into frames of 16 bit mono PCM: from a microphone through an AudioWorklet, or from a file.
 *
 * This file knows devices and formats. It does not know sessions: frames go to a callback.
 */

import { toPcm } from "./resampler.js";

export const FRAME_MS = 100;

/**
 * Open a microphone. `onFrame(pcm)` gets an Int16Array every 100 ms, `onEnded()` is called when the device goes away.
 * Returns { name, stop }; `await stop()` delivers the last frame. Throws what getUserMedia throws.
 */
export async function openMicrophone(rate, onFrame, { deviceId, onEnded } = {}) {
  if (!navigator.mediaDevices) throw new DOMException("a page has a microphone over https or on localhost only", "SecurityError");
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { deviceId: deviceId && { exact: deviceId }, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const audio = new AudioContext();
  const [track] = stream.getAudioTracks();
  try {
    await audio.audioWorklet.addModule(new URL("./capture-worklet.js", import.meta.url));
  } catch (error) {
    track.stop();
    await audio.close();
    throw error;
  }
  const node = new AudioWorkletNode(audio, "capture", {
    numberOfOutputs: 0,
    processorOptions: { rate, frame: (rate * FRAME_MS) / 1000 },
  });
  const over = new Promise((resolve) => {
    node.port.onmessage = ({ data }) => (data ? onFrame(data) : resolve());
  });
  track.onended = () => onEnded?.();
  audio.createMediaStreamSource(stream).connect(node);
  await audio.resume();
  const stop = async () => {
    node.port.postMessage("end");
    await over;
    track.stop();
    await audio.close();
  };
  return { name: track.label, stop };
}

/** The samples of an audio file as an Int16Array at `rate` Hz, mono. Throws an Error that names the file. */
export async function decodeFile(file, rate) {
  const bytes = await file.arrayBuffer();
  let sound;
  try {
    sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
  } catch {
    throw new Error(`${file.name} is no audio that this browser can read`);
  }
  const channels = Array.from({ length: sound.numberOfChannels }, (_, i) => sound.getChannelData(i));
  const mono = channels[0].slice();
  for (const channel of channels.slice(1)) channel.forEach((sample, i) => (mono[i] += sample));
  return toPcm(channels.length === 1 ? mono : mono.map((sample) => sample / channels.length));
}

/**
 * Hand out samples in frames of 100 ms at the pace they would be spoken; frame i is due at start + i * 100 ms
 * whatever came before. Ends early when `signal` (AbortSignal) is aborted; waits while `full()` says so.
 */
export async function play(pcm, rate, onFrame, { signal, full = () => false } = {}) {
  const frame = (rate * FRAME_MS) / 1000;
  const start = performance.now();
  for (let from = 0; from < pcm.length && !signal?.aborted; from += frame) {
    const due = start + (from / rate) * 1000;
    do await sleep(Math.max(due - performance.now(), full() ? 50 : 0));
    while (full() && !signal?.aborted);
    if (!signal?.aborted) onFrame(pcm.slice(from, from + frame));
  }
}

/** The loudest sample of a frame in dB below full scale, -100 for silence. */
export function level(pcm) {
  const peak = pcm.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  return peak ? Math.max(-100, 20 * Math.log10(peak / 32768)) : -100;
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
