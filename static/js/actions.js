// Safe actions: two clicks, the hub's admin token, and the outcome in words. The token stays in this tab's session storage.

import { post, Source } from "./api.js";
import { $, build, make, makeButton, setData, setText, toast } from "./dom.js";

const EVERY_MS = 15_000;
const ARMED_MS = 8000;
const TOO_FAST_MS = 300; // the second half of a double click decides nothing
const TOKEN = "price-hub-admin-token";
const OFF = "Actions are off: the hub has no ADMIN_TOKEN";
const UNKNOWN = "The hub has not said yet whether actions are on";

const state = { enabled: null, drills: [] };
const listeners = [];
const dress = new WeakMap(); // button → paints whether it can be used
let armed = null;

const source = new Source("/actions", EVERY_MS, (body) => {
  const changed = state.enabled !== body.enabled;
  state.enabled = body.enabled === true;
  state.drills = body.drills ?? [];
  if (changed) for (const button of document.querySelectorAll("[data-action]")) dress.get(button)?.();
  for (const listener of listeners) listener(state.drills);
});

/** Call `listener(drills)` with each answer of GET /actions. */
export function onDrills(listener) {
  listeners.push(listener);
}

/** Take the first click back, if there was one. */
export function disarm() {
  armed?.();
}

/**
 * A button that does `POST path` at its second click. `label` is what it says, `what` what it is going to do, in words:
 * "reconnect conn_003".
 */
export function makeAction({ label, what, path, body, title = "" }) {
  let armedAt = 0;
  let timer = 0;
  let busy = false;
  const button = makeButton(label, click, "button action");
  const paint = () => {
    const off = state.enabled !== true;
    button.setAttribute("aria-disabled", String(off || busy)); // not `disabled`: the reason has to be reachable
    button.title = off ? (state.enabled === false ? OFF : UNKNOWN) : title;
    setData(button, "armed", armedAt ? "yes" : "");
    setText(button, busy ? `${label}…` : armedAt ? `Click again: ${what}` : label);
  };
  const rest = () => {
    clearTimeout(timer);
    if (armedAt) setText($("announce"), ""); // or the same words would not be spoken a second time
    armedAt = 0;
    if (armed === rest) armed = null;
    paint();
  };

  function click() {
    if (busy) return;
    if (state.enabled !== true) {
      toast(state.enabled === false ? OFF : UNKNOWN, "bad");
      return;
    }
    if (!armedAt) {
      disarm();
      armed = rest;
      armedAt = performance.now();
      timer = setTimeout(rest, ARMED_MS);
      paint();
      setText($("announce"), button.textContent);
    } else if (performance.now() - armedAt >= TOO_FAST_MS) {
      rest();
      act();
    }
  }

  async function act() {
    busy = true;
    paint();
    const outcome = await send(path, body, what);
    busy = false;
    paint();
    if (outcome) toast(outcome.ok ? outcome.message : `Could not ${what}: ${outcome.message}`, outcome.ok ? "ok" : "bad");
  }

  button.dataset.action = path;
  dress.set(button, paint);
  paint();
  return button;
}

/** Resolve to the outcome; null where the reader gave up to be asked for the token. */
async function send(path, body, what) {
  let said = "";
  for (;;) {
    const token = sessionStorage.getItem(TOKEN) ?? await askToken(what, said);
    if (token === null) return null;
    const outcome = await post(path, token, body);
    if (outcome.status === 401) {
      sessionStorage.removeItem(TOKEN);
      said = `The hub did not accept that token: ${outcome.message}`;
      continue;
    }
    if (outcome.status === 403) source.poke();
    else if (outcome.status) sessionStorage.setItem(TOKEN, token);
    return outcome;
  }
}

/** Ask for the admin token in a small form; resolves to it, or to null. */
function askToken(what, said) {
  const input = make("input", "", "secret"); // no password field: no browser is to offer to keep it
  Object.assign(input, { type: "text", id: "admin-token", autocomplete: "off", spellcheck: false, required: true });
  const label = make("label", "Admin token");
  label.htmlFor = input.id;
  const cancel = makeButton("Cancel", () => dialog.close(), "button");
  const go = make("button", `Use it to ${what}`, "button");
  const form = build("form", "", make("p", "The hub asks for its ADMIN_TOKEN. This tab keeps it until it is closed."), label, input,
    make("p", said, "wrong"), build("p", "choices", cancel, go));
  form.querySelector(".wrong").setAttribute("role", "alert");
  const dialog = build("dialog", "token", form);
  dialog.setAttribute("aria-label", "Admin token");
  document.body.append(dialog);
  return new Promise((resolve) => {
    let token = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      token = input.value.trim() || null;
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(token);
    });
    dialog.showModal();
    input.focus();
  });
}
