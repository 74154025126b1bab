// Who listens: those that cannot keep up first.

import { Source } from "./api.js";
import { $, make, makeShape, setData, setHidden, setText } from "./dom.js";
import { age, bytes, count, duration } from "./format.js";
import { panel } from "./painter.js";
import { keep } from "./parts.js";
import { view } from "./view.js";

const EVERY_MS = 2000;

export function startClients() {
  let known = null;
  const rows = $("clients-table").tBodies[0];
  const shown = panel($("clients"), paint);

  function paint() {
    if (!known) return;
    const clients = known.clients.filter((c) => view.matches(c.client_id, c.transport, c.behind ? "behind" : ""));
    keep(rows, clients, (c) => c.client_id, makeRow, paintRow);
    const told = known.clients.length;
    const of = view.filtering() ? `${count(clients.length)} of ${count(told)} clients` : `${count(known.count)} ${known.count === 1 ? "client" : "clients"}`;
    const cut = known.count > told ? ` · ${count(told)} listed` : "";
    setText($("clients-hint"), `${of} · ${known.behind ? `${count(known.behind)} behind` : "none behind"}${cut}`);
    setHidden($("clients-empty"), clients.length > 0);
    setText($("clients-empty"), told ? `No client matches “${view.get("q")}”.` : "No client is connected.");
  }

  view.on((changed) => { if (changed.includes("q")) shown.request(); });
  return new Source("/clients", EVERY_MS, (body) => {
    known = body;
    shown.request();
  }, { wanted: () => shown.awake(), onFailure: (error) => setText($("clients-hint"), error.message) });
}

function makeRow(client) {
  const tr = make("tr");
  const head = make("th");
  head.scope = "row";
  head.textContent = client.client_id;
  tr.append(head, make("td"), ...Array.from({ length: 5 }, () => make("td", "", "c-num")));
  const late = make("span");
  tr.cells[5].append(makeShape("warn"), late);
  return tr;
}

function paintRow(tr, client) {
  const [head, transport, products, rate, waiting, behind, conflated] = tr.cells;
  const tone = client.behind ? "warn" : "";
  setData(tr, "tone", tone);
  const since = `connected for ${duration(client.connected_seconds)}`;
  if (head.title !== since) head.title = since;
  setText(transport, String(client.transport));
  setText(products, client.products === null ? "all" : count(client.products));
  setText(rate, `${bytes(client.bytes_per_second)}/s`);
  const often = client.max_hz === 1 ? "once" : `${client.max_hz} times`;
  const how = `${client.max_hz ? `written to at most ${often} a second, each time with the latest of each product` : "every tick"}${client.batch ? ", in batches" : ""}`;
  if (rate.title !== how) rate.title = how;
  setText(waiting, client.pending_bytes ? bytes(client.pending_bytes) : "–");
  setData(behind, "tone", tone);
  behind.firstChild.toggleAttribute("hidden", !client.behind);
  setText(behind.lastChild, client.behind ? ` ${age(client.behind_seconds)}` : "–");
  setText(conflated, client.conflated_total ? count(client.conflated_total) : "–");
}
