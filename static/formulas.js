// Formulas: how they are found in a text, and how they are typeset.
"use strict";

const MOST_FORMULAS = 800, MOST_IN_FORMULA = 2_000;
// Macros make a short formula long, and a few hundred boxes in each other end the page: beyond this, a formula stays source.
const MOST_STEPS = 4_000, MOST_FORMULA_NODES = 5_000, MOST_GROUPS = 40, MOST_FORMULA_LEVELS = 120;
// Of a block, for what stands in its lines.
const MOST_INLINE_NODES = 4_000;

// $$…$$ and \[…\] stand by themselves, \(…\) and $…$ in a line. "$5 and $6", $HOME/$USER are none. Bounded, because each
// dollar sign begins a search.
const BODY = `([^]{1,${MOST_IN_FORMULA}}?)`;
const FORMULA = RegExp(
  String.raw`^(?:\$\$${BODY}\$\$|\\\[${BODY}\\\]|\\\(${BODY}\\\)|\$(?![\s$])((?:\\.|[^\\$\n]){1,${MOST_IN_FORMULA}}?)(?<!\s)\$(?!\w))`,
);
const holder = (text, display) => `<code class="language-math${display ? "-display" : ""}">${escape(text)}</code>`;
function formula(level) {
  const inline = level === "inline";
  return {
    name: `${level}Formula`,
    level,
    start: inline && (src => src.search(/\$|\\[([]/)),
    // The parser asks here first at each step, also where there is no formula.
    tokenizer(src) {
      hurry();
      const [raw, ...bodies] = FORMULA.exec(src) ?? [];
      const display = bodies[0] || bodies[1];
      if (!raw || (!inline && (!display || /^[ \t]*\S/.test(src.slice(raw.length))))) return;
      if (++this.lexer.counts.formulas <= MOST_FORMULAS) return { type: `${level}Formula`, raw, text: bodies.find(Boolean), display };
    },
    renderer: ({ text, display }) => inline ? holder(text, display) : `<p>${holder(text, display)}</p>`,
  };
}

// `macros` as KaTeX looks them up: once for each step of its reading, those that a macro brings too.
function counted() {
  let steps = 0;
  return new Proxy({}, {
    getOwnPropertyDescriptor(macros, name) {
      if (++steps > MOST_STEPS) throw RangeError();
      return Reflect.getOwnPropertyDescriptor(macros, name);
    },
  });
}

// KaTeX comes with the first formula; `again` is called once it is here.
const beside = name => HERE.replace("reading.js", `vendor/katex/${name}`);
let katexComes = null;

function whenKatex(again) {
  katexComes ??= new Promise((onload, onerror) => document.head.append(
    make("link", { rel: "stylesheet", href: beside("katex.min.css") }),
    make("script", { src: beside("katex.min.js"), onload, onerror }),
  ));
  katexComes.then(() => inTime(again), () => { katexComes = null; }); // the next one tries again
}

// How deep groups lie in each other.
function depth(text) {
  let level = 0, deepest = 0;
  for (const [sign] of text.matchAll(/\\[{}]|\\(?:left|begin|right|end)\b|[{}]/g)) {
    if (/^(?:\{|\\left|\\begin)$/.test(sign)) deepest = Math.max(deepest, ++level);
    else if (!/^\\[{}]$/.test(sign)) level--;
  }
  return deepest;
}

// `room` is shared by the formulas of a block.
function typeset(code, room) {
  const text = code.textContent;
  if (text.length > MOST_IN_FORMULA || code.firstElementChild || depth(text) > MOST_GROUPS) return;
  if (!window.katex) return whenKatex(() => typeset(code, room));
  const displayMode = code.className.endsWith("display");
  const shown = make("span", displayMode ? { className: "formula", tabIndex: 0 } : {});
  try {
    // Into the element and after the sanitizer: markup with inline styles would break the content security policy.
    katex.render(text, shown, { displayMode, maxExpand: 200, maxSize: 20, strict: "ignore", macros: counted() });
    const most = displayMode ? MOST_FORMULA_NODES : room.nodes;
    if (exceeds(shown, most, MOST_FORMULA_LEVELS)) return;
    if (displayMode) shown.style.containIntrinsicHeight = `${Math.max(...all(".katex-strut", shown).map(strut => parseFloat(strut.style.height)))}em`;
    else room.nodes -= all("*", shown).length;
    code.replaceWith(shown);
  } catch (error) {
    code.title = error.message; // the formula as it was written is better than none
  }
}
