// One drawer for a product or a slot: all that the hub knows of it, once a second, beside the page that goes on. It does
// not trap: the page stays in use.

import { disarm } from "./actions.js";
import { Source } from "./api.js";
import { isFrozen } from "./clock.js";
import { makeCurlButton } from "./curl.js";
import { $, build, make, makeButton, makeShape, setData, setHidden, setShape, setText } from "./dom.js";
import { ProductView } from "./explain.js";
import { age } from "./format.js";
import { SlotView } from "./slot.js";
import { view } from "./view.js";

const EVERY_MS = 1000;
const PRODUCT = /^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}$/i;

export function startDrawer(products) {
  return new Drawer(products);
}

class Drawer {
  constructor(products) {
    this.products = products;
    this.element = $("drawer");
    this.id = "";
    this.asked = "";
    this.loadedAt = null; // performance.now() of the last good answer about this id
    this.opener = null;
    this.shape = makeShape("off");
    this.title = make("h2");
    this.title.id = "drawer-title";
    this.word = make("span", "", "word");
    this.raw = make("a", "JSON", "raw");
    this.said = make("span");
    this.said.setAttribute("role", "status");
    this.counter = make("span"); // beside what is spoken: it changes every second
    this.note = build("p", "note", this.said, this.counter);
    this.content = make("div", "", "content");
    const close = makeButton("Close", () => this.close(), "button");
    close.title = "Close (key: Esc)";
    close.setAttribute("aria-keyshortcuts", "Escape");
    this.head = build("header", "", this.shape, this.title, this.word, this.raw, makeCurlButton(() => this.path(), "the drawer"), close);
    this.element.append(this.head, this.note, this.content);
    this.source = new Source(() => this.ask(), EVERY_MS, (body) => this.take(body), {
      wanted: () => this.id !== "" && (this.loadedAt === null || !isFrozen()),
      onFailure: (error) => this.fail(error),
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.id && !event.defaultPrevented && !event.target.closest("dialog")) this.close();
    });
    new ResizeObserver(([{ target }]) => {
      document.documentElement.style.setProperty("--head", `${target.offsetHeight}px`);
    }).observe(document.querySelector(".head"));
    view.on((changed) => { if (changed.includes("open")) this.sync(); });
    this.sync();
  }

  /** What is asked for now: its answer may come when another is open. */
  ask() {
    this.asked = this.id;
    return this.path();
  }

  path() {
    const id = encodeURIComponent(this.id);
    return this.isProduct() ? `/price/${id}/explain` : `/connections/${id}`;
  }

  isProduct() {
    return this.products.byId.has(this.id) || PRODUCT.test(this.id);
  }

  close() {
    view.set({ open: "" });
  }

  /** Show what the URL says. */
  sync() {
    const id = view.get("open");
    if (id === this.id) return;
    disarm();
    const inside = this.element.contains(document.activeElement);
    if (!this.id) this.opener = document.activeElement;
    this.id = id;
    this.loadedAt = null;
    if (id) this.show();
    else this.hide(inside);
  }

  show() {
    this.view = this.isProduct() ? new ProductView(this.id, this.products) : new SlotView(this.id);
    this.content.replaceChildren(this.view.element);
    this.content.hidden = true; // until there is an answer
    this.content.scrollTop = 0;
    setData(this.head, "tone", "off");
    setData(this.head, "trust", "");
    setShape(this.shape, "off");
    setText(this.title, this.id);
    setText(this.word, "");
    this.tell("Asking the hub…");
    setHidden(this.element, false);
    this.raw.href = this.path();
    this.element.focus({ preventScroll: true });
    this.source.poke();
  }

  /** Focus goes back to where it came from, unless it is elsewhere by now. */
  hide(inside) {
    setHidden(this.element, true);
    this.content.replaceChildren();
    this.view = null;
    const { opener } = this;
    this.opener = null;
    if (inside && opener?.isConnected && opener.checkVisibility()) opener.focus({ preventScroll: true });
  }

  take(body) {
    if (!this.id || this.asked !== this.id) return; // an answer about what was open before
    const { shape, word, tone = "", trust = "" } = this.view.paint(body);
    this.loadedAt = performance.now();
    setShape(this.shape, shape);
    setText(this.word, word);
    setData(this.head, "tone", tone);
    setData(this.head, "trust", trust);
    setHidden(this.content, false);
    this.tell("");
  }

  tell(text, tone = "", counter = "") {
    setText(this.said, text);
    setText(this.counter, counter);
    setHidden(this.note, !text);
    setData(this.note, "tone", tone);
  }

  fail(error) {
    if (!this.id || this.asked !== this.id) return;
    const answered = error.constructor === Error; // else it is the browser's: no link, or no answer in time
    const what = this.isProduct() ? "product" : "connection";
    let text = answered ? `The hub says: ${error.message}` : "The hub does not answer; asking again.";
    if (answered && /not found|no such|unknown/i.test(error.message)) text = `The hub has no ${what} “${this.id}”.`;
    const counter = this.loadedAt === null ? "" : ` What follows is of ${age((performance.now() - this.loadedAt) / 1000)} ago.`;
    this.tell(text, "warn", counter);
  }
}
