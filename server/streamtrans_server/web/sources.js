/**
 * Where source comes from on the page: the text field, the microphone, an audio file.
 *
 * It knows the elements of the input and what the model can take. What was entered goes to the talk.
 */

import { decodeFile, level, openMicrophone, play } from "./capture.js";
import { RATE } from "./talk.js";

const MOST_WAITING = 65536; // bytes for the network before a file waits
const QUIET = -60; // dB, the left end of the level meter

const $ = (id) => document.getElementById(id);

/** Words leave the field with the space after them; Enter sends the rest and ends the sentence. */
export function typing(talk) {
  const field = $("field");
  const send = () => {
    const whole = field.value.match(/^[^]*\s/)?.[0];
    if (!whole) return;
    field.value = field.value.slice(whole.length);
    talk().type(whole);
  };
  field.addEventListener("input", (event) => event.isComposing || send());
  field.addEventListener("compositionend", send);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    if (field.value.trim()) talk().type(`${field.value} `);
    field.value = "";
    talk().flush();
  });
}

/** A button that listens and stops, a choice of devices, a level. `complain(text)` tells what went wrong. */
export function listening(talk, complain) {
  const button = $("listen");
  let microphone = null;
  const show = (pcm) => ($("level").value = pcm ? Math.max(QUIET, level(pcm)) : QUIET);
  const stop = async () => {
    const open = microphone;
    microphone = null;
    button.textContent = "Start listening";
    await open?.stop();
    show(null);
    await talk().finish();
  };
  const lost = () => {
    complain("The microphone is gone; start again when it is back.");
    stop();
  };
  const hear = (pcm) => {
    show(pcm);
    talk().hear(pcm);
  };
  const listen = async () => {
    try {
      microphone = await openMicrophone(RATE, hear, { deviceId: $("device").value, onEnded: lost });
      button.textContent = "Stop listening";
      await listDevices();
    } catch (error) {
      complain(`No microphone: ${error.message}`);
    }
  };
  button.addEventListener("click", async () => {
    button.disabled = true;
    await (microphone ? stop() : listen());
    button.disabled = false;
  });
  return { stop: () => microphone && stop() };
}

async function listDevices() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  const inputs = devices.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId !== "default");
  const chosen = $("device").value;
  $("device").replaceChildren(new Option("Default", ""), ...inputs.map((each) => new Option(each.label, each.deviceId)));
  $("device").value = chosen;
}

/** A file that is dropped or chosen goes out at the pace at which it would be heard. */
export function files(talk, complain) {
  const drop = $("drop");
  let playing = null;
  const send = async (file) => {
    playing?.abort();
    playing = new AbortController();
    const { signal } = playing;
    $("drop-text").textContent = file.name;
    try {
      const pcm = await decodeFile(file, RATE);
      let sent = 0;
      $("playing").hidden = false;
      const hear = (frame) => {
        talk().hear(frame);
        $("progress").value = (sent += frame.length) / pcm.length;
      };
      await play(pcm, RATE, hear, { signal, full: () => talk().waiting > MOST_WAITING });
      await talk().finish();
    } catch (error) {
      complain(error.message);
    } finally {
      if (playing.signal === signal) $("playing").hidden = true;
    }
  };
  $("stop").addEventListener("click", () => playing?.abort());
  $("file").addEventListener("change", ({ target }) => {
    if (target.files.length) send(target.files[0]);
    target.value = "";
  });
  for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
    drop.addEventListener(type, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", type.startsWith("drage") || type === "dragover");
      if (type === "drop" && event.dataTransfer.files.length && !$("file").disabled) send(event.dataTransfer.files[0]);
    });
  }
  return { stop: () => playing?.abort() };
}

/** Say plainly what the model cannot take, and switch that off. */
export function offer({ kinds, model }) {
  const reads = kinds.includes("text");
  $("text-cannot").textContent = `This server's model (${model}) hears only: take the microphone or an audio file.`;
  $("text-cannot").hidden = reads;
  $("field").disabled = !reads;
  const hears = kinds.includes("audio");
  for (const way of ["microphone", "file"]) {
    $(`${way}-cannot`).textContent = `This server's model (${model}) reads text only: it cannot hear.`;
    $(`${way}-cannot`).hidden = hears;
  }
  $("listen").disabled = $("device").disabled = $("file").disabled = !hears;
  $("drop").classList.toggle("off", !hears);
}
