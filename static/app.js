// What HTML, CSS and htmx cannot do. Listeners sit on the document, so that what is swapped in later just works.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
const alertWith = (...nodes) => $("#alert").replaceChildren(...nodes);
const last = selector => [...document.querySelectorAll(selector)].at(-1);
const on = (event, handle, capture) => document.addEventListener(event, handle, capture);

// -- Markdown: text in `.source` becomes HTML in `.rendered`, which htmx never looks into --

// A few kilobytes of nested quotes, wide tables or asterisks can busy a parser for minutes: beyond this, text stays plain.
const LIMIT = { text: 80_000, emphasis: 3_000, cells: 8_000, highlight: 30_000 };
const NESTED = /^[ \t]*(?:>[ \t]*|(?:[-*+]|\d{1,9}[.)])[ \t]+){16}/m;

const isWild = text =>
  text.length > LIMIT.text || NESTED.test(text) || text.split(/[*_]/).length > LIMIT.emphasis;

const escape = text => text.replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);

const markdown = new marked.Marked({
  gfm: true,
  breaks: true,
  tokenizer: {
    // HTML that somebody wrote is shown, not obeyed.
    html() {},
    tag(src) {
      const raw = this.rules.inline.tag.exec(src)?.[0];
      return raw && { type: "text", raw, text: raw, escaped: false };
    },
    // Rows are padded to the header's width: the product counts. `false` means: as usual.
    table(src) {
      const block = src.split("\n\n", 1)[0];
      const columns = block.split("\n", 1)[0].split("|").length - 1;
      this.lexer.cells = (this.lexer.cells ?? 0) + columns * block.split("\n").length;
      return this.lexer.cells > LIMIT.cells ? undefined : false;
    },
  },
  renderer: {
    // A picture would tell its server who reads this, and when.
    image: ({ href, text }) => `<a href="${escape(href)}">${escape(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

const CLEAN = {
  ALLOWED_TAGS: "p br hr h1 h2 h3 h4 h5 h6 ul ol li blockquote pre code strong em del a table thead tbody tr th td".split(" "),
  ALLOWED_ATTR: ["href", "title", "class", "start", "align"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  ADD_URI_SAFE_ATTR: ["start", "align"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};
DOMPurify.addHook("afterSanitizeAttributes", element => {
  if (!/^language-[\w+#.-]+$/.test(element.className)) element.removeAttribute?.("class");
  if (element.tagName === "A") Object.assign(element, { target: "_blank", rel: "noopener noreferrer" });
});

function toDom(tokens) {
  const dom = DOMPurify.sanitize(markdown.parser(tokens), CLEAN);
  for (const pre of dom.querySelectorAll("pre")) frameCode(pre);
  for (const table of dom.querySelectorAll("table")) {
    const frame = make("div", { className: "table", tabIndex: 0 });
    table.replaceWith(frame);
    frame.append(table);
  }
  return dom;
}

function frameCode(pre) {
  const code = pre.firstElementChild ?? pre;
  const language = code.className.replace("language-", "");
  const text = code.textContent;
  if (text.length <= LIMIT.highlight && hljs.getLanguage(language)) {
    code.innerHTML = hljs.highlight(text, { language, ignoreIllegals: true }).value; // it escapes what it colours
  }
  const figure = $("#code-frame").content.firstElementChild.cloneNode(true);
  $("span", figure).textContent = language || "text";
  pre.tabIndex = 0; // the keyboard scrolls it sideways
  pre.replaceWith(figure);
  figure.append(pre);
}

// Characters of a stream whose blocks cannot change any more. Two blocks stay open: a list may go on after a blank
// line, and "2" may become "2. second".
const settled = new WeakMap();

function paint(body, live) {
  const source = $(".source", body);
  const rendered = $(".rendered", body);
  source.normalize(); // many pieces become one text node
  const text = source.textContent;
  try {
    if (isWild(text)) throw RangeError("too much Markdown");
    if (live) paintOpen(rendered, text);
    else rendered.replaceChildren(toDom(markdown.lexer(text)));
    source.hidden = true;
  } catch {
    rendered.replaceChildren(); // plain text is better than none
    source.hidden = false;
  }
}

function paintOpen(rendered, text) {
  const start = settled.get(rendered) ?? 0;
  const tokens = markdown.lexer(text.slice(start));
  let open = tokens.length;
  for (let blocks = 0; open > 0 && blocks < 2;) if (tokens[--open].type !== "space") blocks++;
  let tail = $(":scope > .open", rendered);
  if (!tail) rendered.replaceChildren(tail = make("div", { className: "open" }));
  const closed = tokens.splice(0, open);
  if (closed.length) tail.before(toDom(closed));
  tail.replaceChildren(toDom(tokens));
  settled.set(rendered, closed.reduce((sum, token) => sum + token.raw.length, start));
}

// -- Scrolling: follow the text until the reader scrolls up --

let following = true;
let lastTop = 0;

function follow(force = false) {
  const scroller = $("#scroller");
  if (!scroller) return;
  following ||= force;
  if (following) scroller.scrollTop = scroller.scrollHeight;
  $("#latest").hidden = following;
}

on("scroll", ({ target }) => {
  if (target.id !== "scroller") return;
  const below = target.scrollHeight - target.scrollTop - target.clientHeight;
  if (target.scrollTop < lastTop && below > 4) following = false;
  else if (below < 24) following = true;
  lastTop = target.scrollTop;
  $("#latest").hidden = following;
}, true);
addEventListener("resize", () => follow());

// -- What has just arrived, with the page or by a swap --

let composer = null;
let fromEnd = 0; // where the reader was when earlier messages were asked for

function arrive(added = []) {
  if (!$("#composer")) return; // "back" after signing out shows another page
  for (const body of document.querySelectorAll(".message:not([aria-busy]) .body:not(.painted)")) {
    body.classList.add("painted");
    paint(body, false);
  }
  const reply = added.find(node => node.matches?.("article.assistant:not([aria-busy])"));
  // Read aloud once, when it is whole.
  if (reply) $("#announcer").textContent = ($(".source", reply) ?? reply).textContent.trim().slice(0, 2_000);
  if (composer !== $("#composer")) openChat();
  if (fromEnd) $("#scroller").scrollTop = $("#scroller").scrollHeight - fromEnd; // what was read stays where it is
  fromEnd = 0;
  follow();
}

function openChat() {
  composer = $("#composer");
  const box = $("#message");
  box.value ||= sessionStorage.getItem(composer.action) ?? "";
  sidebar(false);
  follow(true);
  const sought = $("[data-sought]");
  if (sought) {
    following = false;
    sought.scrollIntoView({ block: "center" });
    sought.focus({ preventScroll: true });
  } else if (!matchMedia("(pointer: coarse)").matches) box.focus(); // a phone would show its keyboard
}

on("DOMContentLoaded", () => arrive());
// Before the next frame: raw text never flashes up.
on("htmx:before:settle", ({ target, detail }) => {
  if (target.className === "source") return;
  arrive(detail.newContent);
  // What was used is gone: whoever works by keyboard goes on at what took its place.
  if (used && !used.isConnected && document.activeElement === document.body) {
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
    const cancel = $(".cancel", event.target.closest?.(".editing") ?? make("p"));
    const menu = event.target.closest?.(".menu[open]");
    if (menu) {
      menu.open = false;
      $("summary", menu).focus();
    } else if (cancel) cancel.click();
    else if ("sidebar" in document.body.dataset) sidebar(false);
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

const offered = () => [...document.querySelectorAll("#commands > :not([hidden])")];

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
  $("#message").setAttribute("aria-activedescendant", option?.id ?? "");
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
  const box = $("#message");
  box.value = `${option.dataset.command} `;
  box.focus();
  box.dispatchEvent(new Event("input", { bubbles: true }));
}

const isStream = element => element?.hasAttribute?.("hx-sse:connect");

// Whoever has read back keeps what is on the screen.
on("htmx:config:request", ({ detail: { ctx } }) => {
  const first = ctx.select === "#messages" && $("#messages > .message:not(.queued)");
  if (first) ctx.request.body.set("since", first.id.replace("message-", ""));
});
on("htmx:before:request", event => {
  const source = event.detail.ctx.sourceElement;
  if (source.matches("button, a")) used = source;
  if (source.id === "earlier") fromEnd = $("#scroller").scrollHeight - $("#scroller").scrollTop;
  if (source === composer) $("#message").readOnly = true;
  if (!isStream(source)) return;
  // A first connection replays from the start: a second one would double the text.
  if (connected.has(source)) return event.preventDefault();
  connected.add(source);
  settled.delete($(".rendered", source));
  $(".source", source).textContent = "";
});
on("htmx:after:request", ({ detail: { ctx } }) => {
  if (ctx.sourceElement !== composer || !ctx.response.raw.ok || ctx.hx.redirect) return;
  $("#message").value = "";
  offer("");
  sessionStorage.removeItem(composer.action);
  alertWith();
  following = true;
});
on("htmx:finally:request", ({ detail: { ctx } }) => {
  if (ctx.sourceElement === composer) $("#message").readOnly = false;
});

// -- Failures: an answer with HX-Retarget explains itself; no other is swapped in --

function failed({ sourceElement, response }) {
  if (isStream(sourceElement)) retryStream(sourceElement, response?.status);
  else if (!sourceElement.matches("#model, #messages, [hidden]")) alertWith($("#unreachable").content.cloneNode(true));
}

on("htmx:response:error", ({ detail: { ctx } }) => {
  if (ctx.hx.redirect || (ctx.hx.retarget && !isStream(ctx.sourceElement))) return;
  ctx.hx.reswap = "none";
  failed(ctx);
});
on("htmx:error", ({ detail: { ctx } }) => ctx && failed(ctx));

// -- The stream of a reply --

const connected = new WeakSet();
const lost = new WeakSet();
const waiting = new Set();

const isFinal = status => status >= 400 && status < 500;
const GONE = "This reply cannot be followed here. Reload the page.";

function progress(stream, sentence) {
  const line = $(".progress", stream.closest(".message"));
  if (line) line.textContent = sentence;
}

// The extension renews a connection that broke, but not one that never was.
function retryStream(stream, status) {
  progress(stream, isFinal(status) ? GONE : "Connecting …");
  if (isFinal(status)) return;
  setTimeout(() => {
    connected.delete(stream);
    if (stream.isConnected) htmx.process(stream, true);
  }, 2_000);
}

on("htmx:sse:error", ({ target, detail }) => {
  if (isFinal(detail.status)) lost.add(target);
  else progress(target, "The connection broke. Connecting again …");
});
on("htmx:sse:before:connection", event => {
  if (!lost.has(event.target)) return;
  event.preventDefault();
  progress(event.target, GONE);
});
on("htmx:sse:after:connection", ({ target }) => progress(target, ""));
on("htmx:sse:after:message", ({ target, detail: { message } }) => {
  if (message.event) {
    const text = new DOMParser().parseFromString(message.data, "text/html").body.textContent; // it comes escaped
    return progress(target, text);
  }
  progress(target, "");
  if (!waiting.size) requestAnimationFrame(paintWaiting);
  waiting.add(target);
});

function paintWaiting() {
  for (const body of waiting) if (body.isConnected) paint(body, true);
  waiting.clear();
  follow();
}

// -- Buttons --

const menus = () => document.querySelectorAll(".menu[open]");

on("click", ({ target }) => {
  for (const menu of menus()) if (!menu.contains(target.closest?.("summary"))) menu.open = false;
  const option = target.closest?.("#commands > *");
  if (option) return take(option);
  const button = target.closest?.("button");
  if (!button) return;
  const { copy, sidebar: side, dismiss } = button.dataset;
  if (copy) copyText(button, $(copy, button.closest("figure, article")).textContent);
  else if (side) sidebar(side === "open");
  else if (button.dataset.dialog) $(button.dataset.dialog).showModal();
  else if (dismiss != null) alertWith();
  else if (button.id === "latest") follow(true);
});

async function copyText(button, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Over plain HTTP there is no clipboard object; the old way works there too.
    const box = make("textarea", { value: text, className: "unseen" });
    document.body.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
    button.focus();
  }
  button.lastChild.data = "Copied";
  setTimeout(() => { button.lastChild.data = "Copy"; }, 1_500);
}

function sidebar(open) {
  if (open === "sidebar" in document.body.dataset) return;
  document.body.toggleAttribute("data-sidebar", open);
  const opener = $("[data-sidebar=open]");
  opener?.setAttribute("aria-expanded", open);
  (open ? $("#new-conversation") : opener)?.focus();
}

on("htmx:confirm", event => {
  event.preventDefault();
  const dialog = $("#confirm");
  const { ctx, issueRequest, dropRequest } = event.detail;
  $("#confirm-question").textContent = ctx.confirm;
  dialog.returnValue = "";
  dialog.addEventListener("close", () => (dialog.returnValue ? issueRequest() : dropRequest()), { once: true });
  dialog.showModal();
});
