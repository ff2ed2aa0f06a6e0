// The browser's half of Fireside: only what HTML, CSS and htmx cannot do. Every listener sits on the document,
// so that what htmx swaps in later works without being wired up.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const on = (event, handle, capture = false) => document.addEventListener(event, handle, capture);

// ---- Markdown: raw text in `.source` becomes HTML in `.rendered`, which htmx never looks into (hx-ignore) ----

// A few kilobytes of nested quotes or of wide table rows can keep a parser busy for minutes. Text beyond these
// limits stays the plain text that it is.
const LIMIT = { text: 80_000, emphasis: 3_000, cells: 4_000, html: 1_000_000, highlight: 30_000 };
const NESTED = /^[ \t]*(?:>[ \t]*|(?:[-*+]|\d{1,9}[.)])[ \t]+){16}/m;

const isWild = text =>
  text.length > LIMIT.text || NESTED.test(text) || (text.match(/[*_]/g)?.length ?? 0) > LIMIT.emphasis;

const escape = text => text.replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);

const markdown = new marked.Marked({
  gfm: true,
  breaks: true,
  tokenizer: {
    // HTML in a message is something that somebody wrote, so it is shown, not obeyed.
    html() {},
    tag(src) {
      const raw = this.rules.inline.tag.exec(src)?.[0];
      return raw && { type: "text", raw, text: raw, escaped: false };
    },
    // Rows are padded to the width of the header: what counts is the product. `false` means: as usual.
    table(src) {
      const block = src.split("\n\n", 1)[0];
      const columns = block.split("\n", 1)[0].split("|").length;
      return columns * block.split("\n").length > LIMIT.cells ? undefined : false;
    },
  },
  renderer: {
    // A picture would tell its server who reads this, and when.
    image: ({ href, text }) => `<a href="${escape(href)}">${escape(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

const CLEAN = {
  ALLOWED_TAGS: ["p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code",
    "strong", "em", "del", "a", "table", "thead", "tbody", "tr", "th", "td"],
  ALLOWED_ATTR: ["href", "title", "class", "start", "align"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  ADD_URI_SAFE_ATTR: ["start", "align"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};
DOMPurify.addHook("uponSanitizeAttribute", (_, attribute) => {
  if (attribute.attrName === "class") attribute.keepAttr = /^language-[\w+#.-]+$/.test(attribute.attrValue);
});
DOMPurify.addHook("afterSanitizeAttributes", element => {
  if (element.tagName !== "A") return;
  element.target = "_blank";
  element.rel = "noopener noreferrer nofollow";
});

function toDom(tokens) {
  const html = markdown.parser(tokens);
  if (html.length > LIMIT.html) throw new RangeError("more HTML than a page should hold");
  const dom = DOMPurify.sanitize(html, CLEAN);
  for (const pre of dom.querySelectorAll("pre")) frameCode(pre);
  for (const table of dom.querySelectorAll("table")) {
    const frame = document.createElement("div");
    frame.className = "table";
    frame.tabIndex = 0; // a wide table is scrolled with the keyboard too
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
  const frame = $("#code-frame").content.cloneNode(true);
  $("span", frame).textContent = language || "text";
  pre.tabIndex = 0;
  const figure = frame.firstElementChild;
  pre.replaceWith(figure);
  figure.append(pre);
}

// Characters of a streaming source whose blocks cannot change any more. The last two blocks stay open: a list
// may go on after a blank line, and "2" may become "2. second".
const settled = new WeakMap();

function paint(body, live) {
  const source = $(".source", body);
  const rendered = $(".rendered", body);
  source.normalize(); // thousands of pieces become one text node
  const text = source.textContent;
  try {
    if (isWild(text)) throw new RangeError("more Markdown than a page should hold");
    if (live) paintOpen(rendered, text);
    else rendered.replaceChildren(toDom(markdown.lexer(text)));
    source.hidden = true;
  } catch {
    rendered.replaceChildren(); // unformatted text is better than none
    source.hidden = false;
  }
}

function paintOpen(rendered, text) {
  const start = settled.get(rendered) ?? 0;
  const tokens = markdown.lexer(text.slice(start));
  let open = tokens.length;
  for (let blocks = 0; open > 0 && blocks < 2;) if (tokens[--open].type !== "space") blocks++;
  let tail = $(":scope > .open", rendered);
  if (!tail) {
    tail = document.createElement("div");
    tail.className = "open";
    rendered.replaceChildren(tail);
  }
  const closed = tokens.splice(0, open);
  if (closed.length) tail.before(toDom(closed));
  tail.replaceChildren(toDom(tokens));
  settled.set(rendered, closed.reduce((sum, token) => sum + token.raw.length, start));
}

// ---- Scrolling: follow the text until the reader scrolls up ----

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

// ---- What has just arrived: with the page, or by a swap ----

let composer = null;
const painted = new WeakSet();

function arrive(added = []) {
  for (const body of document.querySelectorAll(".message:not([aria-busy]) .body")) {
    if (painted.has(body)) continue;
    painted.add(body);
    paint(body, false);
  }
  const reply = added.find(node => node.matches?.("article.assistant:not([aria-busy])"));
  if (reply) $("#announcer").textContent = reply.textContent.trim().slice(0, 2_000); // once, when it is whole
  const row = added.find(node => node.matches?.("li.conversation"));
  if (row && document.activeElement === document.body) $("a", row).focus();
  if (composer !== $("#composer")) openChat();
  follow();
}

function openChat() {
  composer = $("#composer");
  if (!composer) return;
  const box = composer.elements.message;
  box.value ||= sessionStorage.getItem(composer.action) ?? "";
  grow(box);
  sidebar(false);
  follow(true);
  if (!matchMedia("(pointer: coarse)").matches) box.focus(); // on a phone this would bring up the keyboard
}

on("DOMContentLoaded", () => arrive());
// Right after the insertion and before the next frame, so that raw text never flashes up.
on("htmx:before:settle", ({ target, detail }) => target.className !== "source" && arrive(detail.newContent));
// A page out of the back-forward cache has lost its streams.
addEventListener("pageshow", event => event.persisted && location.reload());

// ---- The message box ----

function grow(box) {
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight}px`;
}

on("input", ({ target }) => {
  if (target.id !== "message") return;
  grow(target);
  sessionStorage.setItem(target.form.action, target.value); // a draft survives a visit to another conversation
});
on("keydown", event => {
  if (event.key === "Enter" && event.target.id === "message") {
    // While an input method composes, Enter chooses a word; Safari says so by keyCode 229 only.
    if (event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (event.target.value.trim()) event.target.form.requestSubmit();
  } else if (event.key === "Escape") {
    const form = event.target.closest?.(".rename");
    if (form) rename(form.closest("li"), false);
    else if ("sidebar" in document.body.dataset) sidebar(false);
  }
});

const isStream = element => element?.hasAttribute?.("hx-sse:connect");

on("htmx:before:request", event => {
  const source = event.detail.ctx.sourceElement;
  if (source === composer) composer.elements.message.readOnly = true;
  // A first connection replays from the start, so a second one beside it would double the text.
  if (isStream(source)) {
    if (connected.has(source)) return event.preventDefault();
    connected.add(source);
    settled.delete($(".rendered", source));
    $(".source", source).textContent = "";
  }
});
on("htmx:after:request", ({ detail: { ctx } }) => {
  if (ctx.sourceElement !== composer || ctx.response.status >= 400 || ctx.hx.redirect) return;
  const box = composer.elements.message;
  box.value = "";
  grow(box);
  sessionStorage.removeItem(composer.action);
  $("#alert").replaceChildren();
  following = true;
});
on("htmx:finally:request", ({ detail: { ctx } }) => {
  if (ctx.sourceElement === composer) composer.elements.message.readOnly = false;
});

// ---- Failures: an answer with HX-Retarget explains itself; any other must not be swapped into the page ----

function failed(ctx, status = 0) {
  const source = ctx?.sourceElement;
  if (isStream(source)) retryStream(source, status);
  else if (!source?.matches?.("#model, #messages")) {
    $("#alert").replaceChildren($("#unreachable").content.cloneNode(true));
  }
}

on("htmx:response:error", ({ detail: { ctx } }) => {
  if (ctx.hx.retarget) return;
  ctx.swap = "none";
  failed(ctx, ctx.response.status);
});
on("htmx:error", ({ detail: { ctx } }) => failed(ctx));

// ---- The stream of a reply ----

const connected = new WeakSet();
const lost = new WeakSet();
const waiting = new Set();

const isFinal = status => status >= 400 && status < 500 && status !== 429;
const GONE = "This reply can no longer be followed here. Reload the page.";

function progress(stream, sentence) {
  const line = $(".progress", stream.closest(".message"));
  if (line) line.textContent = sentence;
}

// The extension repeats a connection that broke, but not one that never came about.
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
    // Data is escaped HTML, as in every message of the stream.
    const sentence = new DOMParser().parseFromString(message.data, "text/html").body.textContent;
    if (message.event === "status" || message.event === "failed") progress(target, sentence);
    return;
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

// ---- Buttons ----

on("click", ({ target }) => {
  const button = target.closest?.("button");
  if (!button) return;
  const { copy, sidebar: side } = button.dataset;
  if (copy) copyText(button, (copy === "code" ? $("code", button.closest("figure")) : $(".source", button.closest("article"))).textContent);
  else if (side) sidebar(side === "open");
  else if (button.id === "latest") follow(true);
  else if ("rename" in button.dataset) rename(button.closest("li"), true);
  else if ("dismiss" in button.dataset) $("#alert").replaceChildren();
});

async function copyText(button, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Plain HTTP from another device has no clipboard object: the old way still works there.
    const box = document.createElement("textarea");
    box.value = text;
    box.className = "unseen";
    document.body.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
    button.focus();
  }
  button.lastChild.data = "Copied";
  setTimeout(() => { button.lastChild.data = "Copy"; }, 1_500);
}

function rename(row, open) {
  const form = $("form", row);
  form.hidden = !open;
  if (open) return form.elements.title.select();
  form.reset();
  $("[data-rename]", row).focus();
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
