// Work and text in slices, so that no text, however long, keeps the page from answering.
"use strict";

// -- Work: what does not fit into a frame goes on in the next one --

const later = [];
let due = 0;
let deadline = 0;
// In milliseconds, for work that is over in some frames, and for what takes many: each frame has a price of its own.
const SLICE = 10, LONG_SLICE = 40, MANY = 30;
let frames = 0;

function inTime(work) {
  if (!due && now() < deadline) return work();
  later.push(work);
  due ||= nextFrame(catchUp);
}

function catchUp() {
  due = 0;
  deadline = now() + (++frames < MANY ? SLICE : LONG_SLICE);
  try {
    while (later.length && now() < deadline) later.shift()();
  } finally {
    if (later.length) due ||= nextFrame(catchUp);
    else frames = 0;
  }
}

// -- Text: a browser lays out the parts near the window only --

const MOST_LINES = 100, MOST_CHARACTERS = 4_000;

// Where the part ends that begins at `start`. A longer text has the same parts before its last one.
function partEnd(text, start) {
  const end = start + MOST_CHARACTERS;
  let at = start;
  for (let lines = 0; lines < MOST_LINES; lines++) {
    const next = text.indexOf("\n", at) + 1;
    if (next > end || !next) {
      if (end >= text.length) return text.length;
      // A line that is longer than a part ends with it, but never within a character of two units.
      return at > start ? at : end + (text.charCodeAt(end) >> 10 === 0x37);
    }
    at = next;
  }
  return at;
}

// Parts stand in parts: each one that is not in another has a price in every frame.
const TOGETHER = 30;

// Shows a text as it was written. Parts that stand there already stay.
function fill(element, text) {
  if (partEnd(text, 0) === text.length) {
    element.textContent = text;
    return separate(element);
  }
  if (!element.firstElementChild?.matches(".part")) element.replaceChildren();
  let group = null, place = TOGETHER, height = 0;
  for (let start = 0, end; start < text.length; start = end, place++) {
    if (place === TOGETHER) {
      group = (group ? group.nextElementSibling : element.firstElementChild) ?? element.appendChild(make("span", { className: "part" }));
      place = height = 0;
    }
    end = partEnd(text, start);
    const piece = text.slice(start, end);
    const lines = piece.split("\n").length - 1 || Math.ceil(piece.length / 80);
    // How high it will be, so that what is read stays where it is.
    group.style.containIntrinsicHeight = `${height += lines}lh`;
    const old = group.children[place];
    if (old?.textContent === piece) continue;
    const part = make("span", { className: "part", textContent: piece });
    part.style.containIntrinsicHeight = `${lines}lh`;
    separate(part);
    if (old) old.replaceWith(part);
    else group.append(part);
  }
  while (group.nextElementSibling) element.lastElementChild.remove();
  while (group.childElementCount > place) group.lastElementChild.remove();
}

// Signs that join the one before them, thousands of them on one letter, take a browser seconds. A place where a line may
// break ends the letter, and is no part of the text.
const HEAP = /(\p{M}{32})/u;

function separate(root) {
  if (!HEAP.test(root.textContent)) return;
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walker.nextNode()) texts.push(walker.currentNode);
  for (const text of texts) {
    const pieces = text.data.split(HEAP);
    if (pieces.length > 1) text.replaceWith(...pieces.flatMap((piece, at) => (at % 2 ? [piece, make("wbr")] : [piece])));
  }
}

// -- Bounds --

// Whether an element holds more, or deeper, than is laid out in a short time.
function exceeds(root, nodes, levels) {
  let level = 0;
  for (let node = root; ;) {
    if (--nodes < 0 || level > levels) return true;
    if (node.firstChild) {
      node = node.firstChild;
      level++;
      continue;
    }
    while (node !== root && !node.nextSibling) {
      node = node.parentNode;
      level--;
    }
    if (node === root) return false;
    node = node.nextSibling;
  }
}
