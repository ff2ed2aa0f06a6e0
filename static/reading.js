// How messages are shown. Text in `.source` becomes HTML in `.rendered`, which htmx never looks into.
"use strict";

// Code is coloured up to this many characters and lines, and while it still grows.
const MOST_COLOURED = 30_000, MOST_COLOURED_LINES = 1_000, MOST_GROWING = 4_000;
// Of the one who colours, in milliseconds: for the first code with the library, and for any other. So often it may be late.
const FIRST_COLOURING = 5_000, MOST_COLOURING = 500, MOST_LATE = 5;
// Beyond so many characters, blocks stand in parts: each frame costs a browser something for every block beside those it shows.
const PART = 1_500;
// What is read anew at each piece of a stream, in characters, and how long may be painted at once, in milliseconds.
const MOST_OPEN = 20_000, MOST_PAINTING = 30;

// -- Code --

const HERE = document.currentScript.src;

// The class of code is `language-` and a name, or nothing.
function frameCode(pre, live) {
  const code = pre.firstElementChild ?? pre;
  writeCode(code, code.textContent);
  const figure = clone("#code-frame");
  $("span", figure).textContent = code.className.slice(9) || says.code;
  pre.tabIndex = 0; // the keyboard scrolls it sideways
  pre.replaceWith(figure);
  figure.append(pre);
  colour(code, live ? MOST_GROWING : MOST_COLOURED);
}

// A line that is too long for a part is cut, which no colour may be.
const isLong = text => text.length > MOST_COLOURED || text.split("\n", MOST_COLOURED_LINES + 1).length > MOST_COLOURED_LINES
  || RegExp(`.{${MOST_CHARACTERS}}`).test(text);

function writeCode(code, text) {
  if (isLong(text)) return fill(code, text);
  code.textContent = text;
  separate(code);
}

// Long code stands in parts, and a colour that reaches over lines begins anew in each.
function writeColoured(code, html) {
  const lines = html.split("\n");
  const open = [];
  code.replaceChildren();
  for (let at = 0; at < lines.length; at += MOST_LINES) {
    const end = at + MOST_LINES;
    const piece = lines.slice(at, end).join("\n") + (end < lines.length ? "\n" : "");
    const before = open.join("");
    for (const [tag] of piece.matchAll(/<\/?span[^>]*>/g)) {
      if (tag === "</span>") open.pop();
      else open.push(tag);
    }
    const part = make("span", { className: "part", innerHTML: before + piece + "</span>".repeat(open.length) });
    part.style.containIntrinsicHeight = `${MOST_LINES}lh`;
    code.append(part);
  }
  if (lines.length <= MOST_LINES) code.replaceChildren(...code.firstChild.childNodes);
  separate(code);
}

const waitingCode = new Set();
let highlighter = null;
let colouring = 0;
let late = 0;

function colour(code, most) {
  if (!code.className || late > MOST_LATE || code.textContent.length > most || isLong(code.textContent)) return;
  waitingCode.add(code);
  colourNext();
}

function colourNext() {
  const [code] = waitingCode;
  if (!code || colouring) return;
  waitingCode.delete(code);
  const text = code.textContent;
  const first = !highlighter;
  highlighter ??= new Worker(HERE.replace("reading.js", "highlighter.js"));
  const over = html => {
    clearTimeout(colouring);
    colouring = 0;
    inTime(() => {
      if (html && code.textContent === text) writeColoured(code, html);
      colourNext();
    });
  };
  colouring = setTimeout(() => {
    highlighter.terminate();
    highlighter = null;
    if (++late > MOST_LATE) waitingCode.clear();
    over();
  }, first ? FIRST_COLOURING : MOST_COLOURING);
  highlighter.onmessage = ({ data }) => over(data);
  highlighter.postMessage({ text, language: code.className.slice(9) });
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
  source.hidden = true;
  let rendered = $(".rendered", body);
  const { id } = body.parentElement;
  source.normalize(); // many pieces become one text node
  const text = source.textContent;
  // What was painted as it came stays, unless a definition at its end changes links before it, or it was too much to read anew each time.
  const came = latest.id === id && latest.text && text.startsWith(latest.text) && !/^ *\[.+\]:/m.test(text) && !$(".plain", latest.rendered);
  if (live) latest = { id, rendered, text };
  else if (came) rendered.replaceWith(rendered = latest.rendered);
  try {
    paintParts(rendered, text,
      live || came ? (box, part) => paintOpen(box, part, live) : (box, part) => paintWhole(box, reader(part)));
    if (!live) colourRest(rendered);
  } catch {
    states.delete(rendered);
    rendered.replaceChildren(asWritten(text)); // plain text is better than none
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

function paintWhole(box, reader) {
  if (readOn(reader)) inTime(() => paintUp(box, reader.blocks));
  else inTime(() => paintWhole(box, reader));
}

// From the end on, where the reader is.
function paintUp(box, blocks, group = null) {
  let at = blocks.length;
  // A block has a price of its own.
  for (let size = 0; at && size < PART;) size += blocks[--at].raw.length + (blocks[at].type === "code" ? 150 : 20);
  const dom = toDom(blocks.splice(at));
  if (!at && !group) return box.append(dom);
  if (!group || group.childElementCount === TOGETHER) group = box.insertBefore(make("div", { className: "part" }), group);
  const part = make("div", { className: "part" });
  part.append(dom);
  group.prepend(part);
  group.style.containIntrinsicHeight = `auto ${40 * group.childElementCount}rem`;
  if (at) inTime(() => paintUp(box, blocks, group));
}

// Only what changed is painted again: of a stream, the last block. Two blocks stay open: a list may go on after a blank
// line, and "2" may become "2. second".
function paintOpen(box, text, live) {
  const state = states.get(box) ?? { start: 0, open: [], part: box, full: PART };
  states.set(box, Object.assign(state, { text }));
  const { open } = state;
  const rest = text.replace(/\r\n|\r/g, "\n").slice(state.start);
  if (state.plain) return fill(state.plain, rest);
  const read = reader(rest);
  const whole = readOn(read);
  const tokens = read.blocks;
  if (!whole || read.failed || tokens.slice(-2).some(({ type, raw }) => type !== "code" && raw.length > MOST_OPEN)) {
    for (const { nodes } of open) for (const node of nodes) node.remove();
    box.append(state.plain = asWritten(rest));
    return;
  }
  let same = 0;
  while (same < tokens.length && open[same]?.raw === tokens[same].raw) same++;
  if (same < tokens.length - 1 || !goesOn(open[same], tokens[same])) {
    for (const { nodes } of open.splice(same)) for (const node of nodes) node.remove();
    const end = now() + MOST_PAINTING;
    let begin = open.reduce((begin, { raw }) => begin + raw.length, state.start);
    for (let at = same; at < tokens.length && (at === same || now() < end); at++) {
      const token = tokens[at];
      const nodes = [...toDom([token], live).children];
      if (begin > state.full) {
        state.full = begin + PART;
        box.append(state.part = make("div", { className: "part" }));
      }
      state.part.append(...nodes);
      open.push({ token, raw: token.raw, nodes });
      begin += token.raw.length;
    }
  }
  const more = open.length < tokens.length;
  let at = tokens.length;
  for (let blocks = 0; at > 0 && blocks < 2;) if (tokens[--at].type !== "space") blocks++;
  for (const { raw, nodes } of open.splice(0, at)) {
    state.start += raw.length;
    nodes.forEach(colourRest);
  }
  if (!more || state.more) return;
  state.more = true;
  inTime(() => {
    state.more = false;
    if (states.get(box) === state) paintOpen(box, state.text, live);
  });
}

// Code that grows gets its new text only: somebody may have scrolled in it.
function goesOn(block, token) {
  const figure = block?.token.type === "code" && block.nodes.find(node => node.matches(".code"));
  if (!figure || token?.type !== "code" || block.token.lang !== token.lang) return false;
  const code = $("code", figure);
  writeCode(code, `${token.text}\n`);
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
  Object.assign($(".source", body), { textContent: "", hidden: true });
}
