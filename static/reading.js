// How messages are shown. Text in `.source` becomes HTML in `.rendered`, which htmx never looks into.
"use strict";

// -- Markdown --

// A few kilobytes of nested quotes, wide tables or asterisks can busy a parser for minutes: beyond this, text stays plain.
const MOST = 200_000, MOST_IN_BLOCK = 80_000, MOST_EMPHASIS = 3_000, MOST_CELLS = 8_000, MOST_FORMULAS = 800;
// Code is coloured up to this many characters, and while it still grows.
const MOST_COLOURED = 30_000, MOST_GROWING = 4_000;
// Beyond so many characters, blocks stand in parts: each frame costs a browser something for every block beside those it shows.
const PART = 1_500;
const NESTED = /^[ \t]*(?:>[ \t]*|(?:[-*+]|\d{1,9}[.)])[ \t]+){16}/m;

const isWild = text => text.length > MOST || NESTED.test(text) || text.split(/\n[ \t]*(?:\n|[-*+|][ \t]|\d+[.)])/).some(block =>
  block.length > MOST_IN_BLOCK || block.split(/[*_]/).length > MOST_EMPHASIS);

const escape = text => text.replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);

// $$…$$ and \[…\] stand by themselves, \(…\) and $…$ in a line. "$5 and $6", $HOME/$USER are none. Bounded, because each
// dollar sign begins a search.
const BODY = "([^]{1,2000}?)";
const FORMULA = RegExp(
  String.raw`^(?:\$\$${BODY}\$\$|\\\[${BODY}\\\]|\\\(${BODY}\\\)|\$(?![\s$])((?:\\.|[^\\$\n]){1,2000}?)(?<!\s)\$(?!\w))`,
);
const holder = (text, display) => `<code class="language-math${display ? "-display" : ""}">${escape(text)}</code>`;
function formula(level) {
  const inline = level === "inline";
  return {
    name: `${level}Formula`,
    level,
    start: inline && (src => src.search(/\$|\\[([]/)),
    tokenizer(src) {
      const [raw, ...bodies] = FORMULA.exec(src) ?? [];
      const display = bodies[0] || bodies[1];
      if (!raw || (!inline && (!display || /^[ \t]*\S/.test(src.slice(raw.length))))) return;
      this.lexer.formulas = (this.lexer.formulas ?? 0) + 1;
      if (this.lexer.formulas <= MOST_FORMULAS) return { type: `${level}Formula`, raw, text: bodies.find(Boolean), display };
    },
    renderer: ({ text, display }) => inline ? holder(text, display) : `<p>${holder(text, display)}</p>`,
  };
}

const markdown = new marked.Marked({
  breaks: true,
  extensions: [formula("block"), formula("inline")],
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
      return this.lexer.cells > MOST_CELLS ? undefined : false;
    },
  },
  renderer: {
    // A picture would tell its server who reads this, and when.
    image: ({ href, text }) => `<a href="${escape(href)}">${escape(text || href)}</a>`,
    code: ({ lang, text }) => lang === "math" && `<p>${holder(text, true)}</p>`,
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

function toDom(tokens, live) {
  const dom = DOMPurify.sanitize(markdown.parser(tokens), CLEAN);
  for (const code of all("[class|=language-math]", dom)) inTime(() => typeset(code));
  for (const pre of all("pre", dom)) frameCode(pre, live);
  for (const table of all("table", dom)) {
    const frame = make("div", { className: "table", tabIndex: 0, role: "group", ariaLabel: says.table });
    table.replaceWith(frame);
    frame.append(table);
  }
  return dom;
}

// -- Work in slices: what does not fit into a frame goes on in the next one --

const later = [];
let due = 0;
let deadline = 0;

function inTime(work) {
  if (!due && now() < deadline) return work();
  later.push(work);
  due ||= nextFrame(catchUp);
}

function catchUp() {
  due = 0;
  deadline = now() + 10;
  try {
    while (later.length && now() < deadline) later.shift()();
  } finally {
    if (later.length) due ||= nextFrame(catchUp);
  }
}

// -- Code and formulas, whose libraries come with the first of them --

const HERE = document.currentScript.src;
const beside = name => HERE.replace("reading.js", `vendor/${name}`);
const fetched = {};

// The library, or nothing yet: `again` is called once it is here.
function library(global, file, again) {
  if (!window[global]) {
    fetched[file] ??= new Promise((onload, onerror) => document.head.append(make("script", { src: beside(file), onload, onerror })));
    fetched[file].then(() => inTime(again), () => { delete fetched[file]; }); // the next one tries again
  }
  return window[global];
}

// The class of code is `language-` and a name, or nothing.
function frameCode(pre, live) {
  const code = pre.firstElementChild ?? pre;
  const figure = clone("#code-frame");
  $("span", figure).textContent = code.className.slice(9) || says.code;
  pre.tabIndex = 0; // the keyboard scrolls it sideways
  pre.replaceWith(figure);
  figure.append(pre);
  colour(code, live ? MOST_GROWING : MOST_COLOURED);
}

function colour(code, most) {
  const language = code.className.slice(9);
  const text = code.textContent;
  if (!language || text.length > most || !library("hljs", "highlight.min.js", () => colour(code, most))?.getLanguage(language)) return;
  inTime(() => {
    if (code.textContent === text) code.innerHTML = hljs.highlight(text, { language, ignoreIllegals: true }).value; // it escapes what it colours
  });
}

function typeset(code) {
  if (!library("katex", "katex/katex.min.js", () => typeset(code))) {
    fetched.style ??= document.head.appendChild(make("link", { rel: "stylesheet", href: beside("katex/katex.min.css") }));
    return;
  }
  const displayMode = code.className.endsWith("display");
  const shown = make("span", displayMode ? { className: "formula", tabIndex: 0 } : {});
  try {
    // Into the element and after the sanitizer: markup with inline styles would break the content security policy.
    katex.render(code.textContent, shown, { displayMode, maxExpand: 200, maxSize: 20, strict: "ignore" });
    code.replaceWith(shown);
  } catch (error) {
    code.title = error.message; // the formula as it was written is better than none
  }
}

// -- Reasoning: what a reply begins with up to </think> and its like. A chat template may have opened it. --

const OPENS = /^\s*<(think|thinking|reasoning)>/;
const CLOSES = /<\/(?:think|thinking|reasoning)>[ \t]*\n/;

// [reasoning, answer]; without an answer the reasoning goes on, without a reasoning there was none.
function parts(text) {
  const [open, name] = OPENS.exec(text) ?? [];
  const close = open ? text.indexOf(`</${name}>`) : text.search(CLOSES);
  if (close < 0) return open ? [text.slice(open.length)] : [null, text];
  const [before, behind] = [text.slice(open?.length, close), text.slice(text.indexOf(">", close) + 1)];
  return open || before.split("```").length % 2 ? [before, behind] : [null, text];
}

function thoughts(rendered) {
  const found = $(":scope > .reasoning > div", rendered);
  if (found) return found;
  const frame = clone("#reasoning-frame");
  const box = $("div", frame);
  // What looked like an answer until its end came is moved as it is.
  box.append(...rendered.childNodes);
  if (states.has(rendered)) states.set(box, states.get(rendered));
  states.delete(rendered);
  rendered.append(frame);
  return box;
}

// -- Painting --

const states = new WeakMap(); // of what is painted while it arrives
let latest = {}; // the reply that was painted so

function paint(body, live) {
  if (!live && body.matches(".painted")) return;
  body.classList.add("painted");
  const source = $(".source", body);
  let rendered = $(".rendered", body);
  const { id } = body.parentElement;
  source.normalize(); // many pieces become one text node
  const text = source.textContent;
  // What was painted as it came stays, unless a definition at its end changes links before it.
  const came = latest.id === id && latest.text && text.startsWith(latest.text) && !/^ *\[.+\]:/m.test(text);
  if (live) latest = { id, rendered, text };
  else if (came) rendered.replaceWith(rendered = latest.rendered);
  try {
    if (states.get(rendered)?.wild || (live || came ? text.length > MOST : isWild(text))) throw Error();
    paintParts(rendered, text, live || came ? paintOpen : (box, part) => paintWhole(box, markdown.lexer(part)));
    if (!live) colourRest(rendered);
    source.hidden = true;
  } catch {
    states.set(rendered, { wild: true });
    rendered.replaceChildren(); // plain text is better than none
    source.hidden = false;
  }
}

function paintParts(rendered, text, paintPart) {
  const [reasoning, answer] = parts(text);
  const box = reasoning != null && thoughts(rendered);
  if (box && !box.over) {
    paintPart(box, reasoning);
    if (box.over = answer?.trim()) box.parentElement.open = false;
  }
  if (answer) paintPart(rendered, answer);
}

// From the end on, where the reader is.
function paintWhole(box, tokens, below = null) {
  let at = tokens.length;
  for (let size = 0; at && size < PART;) size += tokens[--at].raw.length;
  const part = at || below ? make("div", { className: "part" }) : box;
  part.append(toDom(tokens.splice(at)));
  if (part !== box) box.insertBefore(part, below);
  if (at) inTime(() => paintWhole(box, tokens, part));
}

// Only what changed is painted again: of a stream, the last block. Two blocks stay open: a list may go on after a blank
// line, and "2" may become "2. second".
function paintOpen(box, text) {
  const state = states.get(box) ?? { start: 0, open: [], part: box, full: PART };
  states.set(box, state);
  const { open } = state;
  const rest = text.slice(state.start);
  if (isWild(rest)) throw Error();
  const tokens = markdown.lexer(rest);
  let same = 0;
  while (same < tokens.length && open[same]?.raw === tokens[same].raw) same++;
  if (same < tokens.length - 1 || !goesOn(open[same], tokens[same])) {
    for (const { nodes } of open.splice(same)) for (const node of nodes) node.remove();
    for (const token of tokens.slice(same)) {
      const nodes = [...toDom([token], true).children];
      if (state.start > state.full) {
        state.full = state.start + PART;
        box.append(state.part = make("div", { className: "part" }));
      }
      state.part.append(...nodes);
      open.push({ token, raw: token.raw, nodes });
    }
  }
  let at = tokens.length;
  for (let blocks = 0; at > 0 && blocks < 2;) if (tokens[--at].type !== "space") blocks++;
  for (const { raw, nodes } of open.splice(0, at)) {
    state.start += raw.length;
    nodes.forEach(colourRest);
  }
}

// Code that grows gets its new text only: somebody may have scrolled in it.
function goesOn(block, token) {
  const figure = block?.token.type === "code" && block.nodes.find(node => node.matches(".code"));
  if (!figure || token?.type !== "code" || block.token.lang !== token.lang) return false;
  const code = $("code", figure);
  code.textContent = `${token.text}\n`;
  block.raw = token.raw;
  colour(code, MOST_GROWING);
  return true;
}

// Long code is coloured once it is whole.
function colourRest(root) {
  for (const code of all(".code code", root)) if (!code.firstElementChild) colour(code, MOST_COLOURED);
}

// A stream that begins anew brings everything again.
function restart(body) {
  const rendered = $(".rendered", body);
  states.delete(rendered);
  rendered.replaceChildren();
  $(".source", body).textContent = "";
}
