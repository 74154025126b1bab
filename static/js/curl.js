// "curl" beside every panel: this page is only a client of the public interface, and everybody may be one.

import { copy, makeButton } from "./dom.js";
import { view } from "./view.js";

const QUERIES = { charts: () => ({ range: view.get("range") }) };

/** The command that gets what a panel shows, safe to paste into a shell. */
export function curlCommand(panel) {
  const url = new URL(panel.dataset.path, location.origin);
  for (const [key, value] of Object.entries(QUERIES[panel.id]?.() ?? {})) url.searchParams.set(key, value);
  return `curl -s '${url.href.replaceAll("'", "%27")}'`;
}

/** Give each panel that names its route a button for it. */
export function addCurlButtons() {
  for (const panel of document.querySelectorAll(".panel[data-path]")) {
    const title = panel.querySelector("h2").textContent;
    const button = makeButton("curl", () => copy(curlCommand(panel), "the command"), "curl");
    button.title = `Copy a curl command for ${panel.dataset.path}`;
    button.setAttribute("aria-label", `curl: copy the command for ${title}`);
    panel.querySelector(".tools").append(button);
  }
}
