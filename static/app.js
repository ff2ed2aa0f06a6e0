// What HTML, CSS and htmx cannot do. Listeners sit on the document, so that what is swapped in later just works.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
const { body: page } = document;
const clone = template => $(template).content.firstElementChild.cloneNode(true);
const alertWith = (...nodes) => $("#alert").replaceChildren(...nodes);
const last = selector => all(selector).at(-1);
const says = $("#announcer").dataset;
const now = () => performance.now();
const nextFrame = requestAnimationFrame;
const on = (event, handle, capture) => document.addEventListener(event, handle, capture);
const onHtmx = (event, handle) => on(`htmx:${event}`, event => handle(event.detail, event));
const messageBox = () => $("#message");
const isStream = element => element?.hasAttribute?.("hx-sse:connect");

// -- Scrolling: follow the text until the reader scrolls up --

let following = true;
let lastTop = 0;

function follow() {
  const scroller = $("#scroller");
  if (!scroller) return;
  if (following) scroller.scrollTop = scroller.scrollHeight;
  $("#latest").hidden = following;
}

on("scroll", ({ target }) => {
  if (target.id !== "scroller") return;
  const top = target.scrollTop;
  const below = target.scrollHeight - top - target.clientHeight;
  if (top < lastTop && below > 4) following = false;
  else if (below < 24) following = true;
  lastTop = top;
  $("#latest").hidden = following;
}, true);
// Whatever makes the text longer, or the window smaller.
const sizes = new ResizeObserver(follow);

// -- What has just arrived, with the page or by a swap --

let composer = null;

function arrive(added = []) {
  all("time:not([title])").forEach(localize);
  if (!$("#composer")) return; // "back" after signing out shows another page
  const bodies = all(".message:not([aria-busy]) .body:not(.painted)").reverse(); // the end is seen first
  deadline = now() + 30;
  bodies.forEach((body, place) => (place ? inTime(() => paint(body)) : paint(body)));
  const reply = added.find(node => node.matches?.("article.assistant:not([aria-busy])"));
  // Read aloud once, when it is whole.
  if (reply) $("#announcer").textContent = (parts($(".source", reply)?.textContent ?? reply.textContent)[1] ?? "").slice(0, 2_000);
  if (composer !== $("#composer")) openChat();
  all("#scroller, #messages").forEach(element => sizes.observe(element));
}

// The server does not know the reader's time zone, nor how times are written there.
function localize(time) {
  time.title = time.textContent;
  time.textContent = new Date(time.dateTime).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
}

function openChat() {
  composer = $("#composer");
  const box = messageBox();
  box.value ||= sessionStorage.getItem(composer.action) ?? "";
  sidebar(false);
  const sought = $("[data-sought]");
  following = !sought;
  follow();
  if (sought) {
    sought.focus();
    sought.scrollIntoView({ block: "center" });
  } else if (!matchMedia("(pointer: coarse)").matches) box.focus(); // a phone would show its keyboard
}

on("DOMContentLoaded", () => arrive());
// Before the next frame: raw text never flashes up.
onHtmx("before:settle", ({ newContent }, { target }) => {
  if (target.className === "source") return;
  arrive(newContent);
  // What was used is gone: whoever works by keyboard goes on at what took its place.
  if (used && !used.isConnected && document.activeElement === page) {
    (document.getElementById(used.id) ?? $("#chat"))?.focus({ preventScroll: true });
  }
});

let used = null; // what asked the server last

// -- The message box --

on("input", ({ target }) => {
  if (target.id !== "message") return;
  sessionStorage.setItem(target.form.action, target.value); // drafts survive a visit elsewhere
  offer(target.value);
});
on("keydown", event => {
  if (choose(event) || shortcut(event)) event.preventDefault();
  else if (event.key === "Enter" && event.target.id === "message") {
    // While an input method composes, Enter chooses a word; Safari tells by keyCode 229 only.
    if (event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (event.target.value.trim()) event.target.form.requestSubmit();
  } else if (event.key === "Escape") {
    const cancel = event.target.closest?.(".editing")?.querySelector(".cancel");
    const menu = $(".menu[open]"); // there is one at most
    if (menu) {
      menu.open = false;
      $("summary", menu).focus();
    } else if (cancel) cancel.click();
    else sidebar(false);
  }
});

// Whatever says in `aria-keyshortcuts` that a key is its own is clicked by it, or gets the focus.
function shortcut({ key, code, altKey, ctrlKey, metaKey, target }) {
  const box = target.id === "message";
  if (box && key === "ArrowUp" && !target.value) return last("#messages .user .edit")?.click() === undefined;
  const typing = target.matches?.("input, textarea, select");
  const combination = altKey ? `Alt+${code.replace("Key", "")}` : typing || ctrlKey || metaKey ? "" : key;
  const element = combination && last(`[aria-keyshortcuts=${JSON.stringify(combination)}]`);
  if (!element) return false;
  if (element.matches("input, textarea")) element.focus();
  else element.click();
  return true;
}

// A title is typed anew more often than mended.
on("focusin", ({ target }) => target.matches(".rename .field") && target.select());

// -- The list of commands: what is typed behind a / chooses among them --

const offered = () => all("#commands > :not([hidden])");

function offer(typed) {
  const list = $("#commands");
  if (!list) return;
  for (const option of list.children) option.hidden = !option.dataset.command.startsWith(typed);
  list.hidden = typed[0] !== "/" || !offered().length;
  point(list.hidden ? null : offered()[0]);
}

function point(option) {
  $("#commands > [aria-selected]")?.removeAttribute("aria-selected");
  option?.setAttribute("aria-selected", true);
  option?.scrollIntoView({ block: "nearest" });
  messageBox().setAttribute("aria-activedescendant", option?.id ?? "");
}

// Whether a key belongs to the list.
function choose({ key, target, shiftKey, isComposing }) {
  const option = target.id === "message" && $("#commands:not([hidden]) > [aria-selected]");
  if (!option || isComposing || shiftKey) return false;
  const all = offered();
  const step = { ArrowDown: 1, ArrowUp: -1 }[key];
  if (step) point(all.at((all.indexOf(option) + step) % all.length));
  else if (key === "Tab" || (key === "Enter" && option.dataset.command !== target.value)) take(option);
  else if (key === "Escape") offer("");
  else return false;
  return true;
}

function take(option) {
  const box = messageBox();
  box.value = `${option.dataset.command} `;
  box.focus();
  box.dispatchEvent(new Event("input", { bubbles: true }));
}

// Whoever has read back keeps what is on the screen.
onHtmx("config:request", ({ ctx }) => {
  const first = ctx.select === "#messages" && $("#messages > .message");
  if (first) ctx.request.body.set("since", first.id.slice(8));
});
onHtmx("before:request", ({ ctx }, event) => {
  const source = ctx.sourceElement;
  if (source.matches("button, a")) used = source;
  if (source.id === "earlier") $("#scroller").scrollTop ||= 1; // at 0, browsers do not keep in place what is read
  if (source === composer) messageBox().readOnly = true;
  if (!isStream(source)) return;
  // A first connection replays from the start: a second one would double the text.
  if (connected.has(source)) return event.preventDefault();
  connected.add(source);
  restart(source);
});
onHtmx("after:request", ({ ctx }) => {
  if (ctx.sourceElement !== composer || !ctx.response.raw.ok || ctx.hx.redirect) return;
  messageBox().value = "";
  offer("");
  sessionStorage.removeItem(composer.action);
  alertWith();
  following = true;
});
onHtmx("finally:request", ({ ctx }) => {
  if (ctx.sourceElement === composer) messageBox().readOnly = false;
});

// -- Failures: an answer with HX-Retarget explains itself; no other is swapped in --

function failed({ sourceElement, response }) {
  if (isStream(sourceElement)) retryStream(sourceElement, response?.status);
  else if (!sourceElement.matches("#model, #messages, [hidden]")) alertWith(clone("#unreachable"));
}

onHtmx("response:error", ({ ctx }) => {
  if (ctx.hx.redirect || (ctx.hx.retarget && !isStream(ctx.sourceElement))) return;
  ctx.hx.reswap = "none";
  failed(ctx);
});
onHtmx("error", ({ ctx }) => ctx && failed(ctx));

// -- The stream of a reply --

const connected = new WeakSet();
const lost = new WeakSet();
const waiting = new Set();

const isFinal = status => status >= 400 && status < 500;

function progress(stream, sentence) {
  const line = $(".progress", stream.nextElementSibling);
  if (line) line.textContent = sentence;
}

// The extension renews a connection that broke, but not one that never was.
function retryStream(stream, status) {
  if (isFinal(status)) return progress(stream, says.gone);
  progress(stream, says.connecting);
  setTimeout(() => {
    connected.delete(stream);
    if (stream.isConnected) htmx.process(stream, true);
  }, 2_000);
}

onHtmx("sse:error", ({ status }, { target }) => {
  if (isFinal(status)) lost.add(target);
  else progress(target, says.broken);
});
onHtmx("sse:before:connection", (_, event) => {
  if (!lost.has(event.target)) return;
  event.preventDefault();
  progress(event.target, says.gone);
});
onHtmx("sse:after:connection", (_, { target }) => progress(target, ""));
onHtmx("sse:after:message", ({ message }, { target }) => {
  if (message.event) {
    const text = make("template", { innerHTML: message.data }).content.textContent; // it comes escaped
    return progress(target, text);
  }
  progress(target, "");
  // A block that is slow to paint leaves time for everything else.
  if (!waiting.size) setTimeout(nextFrame, pause, paintWaiting);
  waiting.add(target);
});

let pause = 0; // in milliseconds; less than none is none

function paintWaiting() {
  const begin = now();
  deadline = begin + 12;
  for (const body of waiting) if (body.isConnected) paint(body, true);
  waiting.clear();
  pause = 2 * (now() - begin) - 16;
}

// -- Buttons --

on("click", ({ target }) => {
  for (const menu of all(".menu[open]")) if (!menu.contains(target.closest("summary"))) menu.open = false;
  const option = target.closest("#commands > *");
  if (option) return take(option);
  const button = target.closest("button");
  if (!button) return;
  const { copy, wrap, sidebar: side, dialog, dismiss } = button.dataset;
  if (copy) copyText(button, $(copy, button.closest("figure, article")).textContent);
  else if (wrap != null) button.ariaPressed = button.closest("figure").classList.toggle("wrap");
  else if (side) sidebar(side === "open");
  else if (dialog) $(dialog).showModal();
  else if (dismiss != null) alertWith();
  else if (button.id === "latest") {
    following = true;
    follow();
  }
});

async function copyText(button, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Over plain HTTP there is no clipboard object; the old way works there too.
    const box = make("textarea", { value: text, className: "unseen" });
    page.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
    button.focus();
  }
  button.lastChild.data = says.copied;
  setTimeout(() => { button.lastChild.data = says.copy; }, 1_500);
}

function sidebar(open) {
  if (open === "sidebar" in page.dataset) return;
  page.toggleAttribute("data-sidebar", open);
  const opener = $("[data-sidebar=open]");
  opener?.setAttribute("aria-expanded", open);
  (open ? $("#new-conversation") : opener)?.focus();
}

onHtmx("confirm", ({ ctx, issueRequest, dropRequest }, event) => {
  event.preventDefault();
  const dialog = $("#confirm");
  $("#confirm-question").textContent = ctx.confirm;
  dialog.returnValue = "";
  dialog.onclose = () => (dialog.returnValue ? issueRequest() : dropRequest());
  dialog.showModal();
});
