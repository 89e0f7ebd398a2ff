/**
 * The page: finds out what the server can do, and joins the talk with what is seen.
 *
 * With ?overlay=1 it is a browser source instead: only captions, on nothing (&lines=3, &background=%2300b140).
 */

import { cuesOf, srt, vtt } from "./captions.js";
import { RollUp, follow } from "./rollup.js";
import { files, listening, offer, typing } from "./sources.js";
import { Talk } from "./talk.js";
import { Transcript } from "./transcript.js";

const FULL = 11; // the right end of the latency knob: the whole sentence is READ first
const NOTHING = { source: [], target: [] }; // a draft
const STATES = {
  connecting: "Connecting…",
  open: "Live",
  reconnecting: "Connection lost, coming back…",
  ended: "Finished",
  failed: "Stopped",
};

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
if (query.has("overlay")) overlay();
else start();

function overlay() {
  const view = document.createElement("div");
  view.className = "lines";
  view.dataset.lines = query.get("lines") ?? "2";
  document.documentElement.classList.add("overlay");
  document.documentElement.style.background = query.get("background") ?? "";
  document.body.replaceChildren(view);
  follow(view);
}

async function start() {
  let models;
  try {
    ({ models } = await (await fetch("v1/models")).json());
  } catch {
    state("failed", "No server answers");
    setTimeout(start, 2000);
    return;
  }
  const pair = $("pair");
  pair.replaceChildren(...models.map((model, i) => new Option(`${language(model.source)} → ${language(model.target)}`, i)));
  let talk = open(models[0]);
  const current = () => talk;
  const microphone = listening(current, complain);
  const file = files(current, complain);
  typing(current);
  const quiet = () => Promise.all([microphone.stop(), file.stop()]);
  pair.addEventListener("change", async () => {
    await quiet();
    await talk.finish();
    talk = open(models[pair.value]);
  });
  for (const radio of document.getElementsByName("way")) {
    radio.addEventListener("change", async () => {
      await quiet();
      for (const way of document.querySelectorAll(".way")) way.hidden = way.dataset.way !== radio.value;
    });
  }
  $("k").addEventListener("input", () => ($("policy").value = policy()));
  $("k").addEventListener("change", () => talk.setPolicy(policy()));
  $("finish").addEventListener("click", async () => {
    await quiet();
    await talk.finish();
  });
  for (const button of document.querySelectorAll("[data-save]")) button.addEventListener("click", () => save(button.dataset.save, talk));
  document.addEventListener("click", ({ target }) => {
    const menu = document.querySelector(".menu");
    if (!target.closest("summary")) menu.open = false;
  });
  $("large").addEventListener("click", enlarge);
  $("leave").addEventListener("click", () => $("captions").close());
  $("captions").addEventListener("close", () => document.fullscreenElement && document.exitFullscreen());
  document.addEventListener("keydown", (event) => {
    if (event.altKey && event.code === "KeyC") enlarge();
    if (event.key === "Escape") document.querySelector(".menu").open = false;
  });
}

/** A talk with this model, its events joined to what is seen. */
function open(model) {
  $("source-name").textContent = language(model.source);
  $("target-name").textContent = language(model.target);
  $("field").lang = model.source;
  $("k").value = model.policy === "full" ? FULL : Number(model.policy.match(/^wait-(\d+)/)?.[1] ?? 3);
  $("policy").value = policy();
  offer(model);
  state("idle", `Ready: ${model.model}`);

  const url = new URL("v1/translate", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  if (query.has("access_token")) url.searchParams.set("access_token", query.get("access_token"));
  const talk = new Talk(url, model, policy());
  const transcript = new Transcript($("segments"), $("spoken"), model);
  const rollUp = new RollUp(model.target);
  rollUp.show(document.querySelector("#captions .lines"));
  talk.on("sent", ({ words }) => transcript.sent(words));
  talk.on("source", (word) => transcript.source(word));
  talk.on("target", (word) => {
    transcript.target(word);
    rollUp.word(word.text);
    lag(talk);
  });
  const drafted = (draft) => {
    const shown = $("drafts").checked ? draft : NOTHING;
    transcript.draft(shown);
    rollUp.draft(shown.target);
  };
  talk.on("draft", drafted);
  talk.drafts = $("drafts").checked;
  $("drafts").onchange = () => {
    talk.drafts = $("drafts").checked;
    drafted(NOTHING);
  };
  const segment = () => {
    transcript.segment();
    rollUp.segment();
  };
  talk.on("segment", segment);
  talk.on("done", segment);
  talk.on("changed", ({ policy, lag }) => ($("policy").value = lag ? `${policy}, behind` : policy));
  talk.on("lag", ({ ms }) => complain(`The server is ${(ms / 1000).toFixed(1)} s behind.`));
  talk.on("state", (event) => state(event.state, STATES[event.state]));
  talk.on("sent", () => complain(""));
  talk.on("resumed", () => {
    complain("");
    drafted(NOTHING);
  });
  talk.on("lost", ({ seconds }) => complain(`${seconds} s of sound waited too long and are lost.`));
  talk.on("error", ({ code, text, unread }) => {
    transcript.drop();
    rollUp.segment();
    transcript.gap(`The session ended here: ${text}.`);
    if (unread.length) $("field").value = `${unread.join(" ")} ${$("field").value}`;
    complain(`${text} (${code}). ${unread.length ? "What was not read is in the field again." : ""}`);
  });
  return talk;
}

function policy() {
  const k = Number($("k").value);
  return k === FULL ? "full" : `wait-${k}`;
}

function state(name, text) {
  $("state").dataset.state = name;
  $("state").textContent = text;
  $("caption-state").textContent = name === "reconnecting" ? text : "";
  $("finish").disabled = !["connecting", "open", "reconnecting"].includes(name);
  if (name !== "idle" && name !== "failed") {
    $("empty").hidden = true;
    for (const button of document.querySelectorAll("[data-save]")) button.disabled = false;
  }
}

function lag(talk) {
  if (talk.lag === null) return;
  $("lag").value = talk.lag;
  $("lag-text").value = `${Math.round(talk.lag)} ms`;
}

function complain(text) {
  $("alert").textContent = text;
}

function enlarge() {
  const dialog = $("captions");
  if (dialog.open) return;
  dialog.showModal();
  dialog.requestFullscreen?.().catch(() => {}); // large without it, too
}

function save(format, talk) {
  const cues = cuesOf(talk.events);
  const text = format === "srt" ? srt(cues) : vtt(cues);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  link.download = `translation.${talk.model.target}.${format}`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function language(code) {
  return new Intl.DisplayNames(["en"], { type: "language" }).of(code);
}
