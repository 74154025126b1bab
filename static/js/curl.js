// "curl" beside every panel: this page is only a client of the public interface, and everybody may be one.

import { copy, makeButton } from "./dom.js";
import { view } from "./view.js";

const QUERIES = { "/history": () => ({ range: view.get("range") }) };

/** The commands that get what is at these paths (separated by spaces), a line each, safe to paste into a shell. */
export function curlCommands(paths) {
  return paths.split(" ").map((path) => {
    const url = new URL(path, location.origin);
    for (const [key, value] of Object.entries(QUERIES[path]?.() ?? {})) url.searchParams.set(key, value);
    return `curl -s '${url.href.replaceAll("'", "%27")}'`;
  }).join("\n");
}

/** A button that copies the commands for what `paths()` says at the click; `of` names it for those who can't see where it is. */
export function makeCurlButton(paths, of) {
  const button = makeButton("curl", () => copy(curlCommands(paths()), "the command"), "curl");
  button.title = "Copy what is shown here as curl commands; with API_TOKENS set, add -H \"Authorization: Bearer $TOKEN\"";
  button.setAttribute("aria-label", `curl: copy the command for ${of}`);
  return button;
}

/** Give each part of the page that names its routes a button for them. */
export function addCurlButtons() {
  for (const part of document.querySelectorAll("[data-path]")) {
    const of = part.id === "verdict" ? "the verdict" : part.querySelector("h2").textContent;
    part.querySelector(".tools, .says").append(makeCurlButton(() => part.dataset.path, of));
  }
}
