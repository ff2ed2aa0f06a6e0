// From Markdown to HTML, block by block. A block that is too long, too deep or too slow is shown as it was written.
"use strict";

const MOST = 200_000, MOST_IN_BLOCK = 30_000, MOST_CELLS = 8_000, MOST_ITEMS = 100, MOST_TAGS = 3_000;
const MOST_NESTED = 16, MOST_LEVELS = 60;
// In milliseconds: of reading before the page may answer, and of one block's lines.
const MOST_READING = 80, MOST_IN_LINES = 50;
// So often reading may fail or be slow before the rest of a text stays plain: for less than so many characters, and for lines.
const MOST_FAILED = 5, FEW_READ = 5_000, SLOW_LINES = 25;

const escape = text => text.replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);

// -- A parser that can be stopped --

let limit = Infinity;
let nested = 0;

function hurry() {
  if (now() > limit) throw RangeError();
}

function within(milliseconds, work) {
  limit = now() + milliseconds;
  try {
    return work();
  } finally {
    limit = Infinity;
  }
}

const nesting = name => function (src) {
  if (nested >= MOST_NESTED) throw RangeError();
  nested++;
  try {
    return marked.Tokenizer.prototype[name].call(this, src);
  } finally {
    nested--;
  }
};

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
    blockquote: nesting("blockquote"),
    list: nesting("list"),
    // Rows are padded to the header's width: the product counts. `false` means: as usual.
    table(src) {
      const block = src.split("\n\n", 1)[0];
      const columns = block.split("\n", 1)[0].split("|").length - 1;
      this.lexer.counts.cells += columns * block.split("\n").length;
      return this.lexer.counts.cells > MOST_CELLS ? undefined : false;
    },
  },
  renderer: {
    // A picture would tell its server who reads this, and when.
    image: ({ href, text }) => `<a href="${escape(href)}">${escape(text || href)}</a>`,
    code: ({ lang, text }) => lang === "math" && `<p>${holder(text, true)}</p>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

// -- Blocks: their lines are read when they are shown --

const plain = raw => ({ type: "plain", raw });

function reader(text) {
  const rest = text.replace(/\r\n|\r/g, "\n");
  return { rest, blocks: [], failed: 0, links: Object.create(null), counts: { formulas: 0, cells: 0 } };
}

// Reads on for a while. True when all is read.
function readOn(reader) {
  const { rest, counts, links } = reader;
  const found = [];
  if (rest.length > MOST || reader.failed > MOST_FAILED) found.push(plain(rest));
  else {
    const lexer = Object.assign(new marked.Lexer(markdown.defaults), { counts });
    lexer.tokens.links = links;
    try {
      within(MOST_READING, () => lexer.blockTokens(rest, found));
    } catch {
      if (found.length > 1 && found.at(-1).type !== "space") found.pop(); // it may go on
      if (!found.length) {
        reader.failed ||= 1;
        found.push(plain(rest.slice(0, rest.search(/\n[ \t]*\n/) + 1 || undefined)));
      }
    }
    const lines = new Map(lexer.inlineQueue.map(({ src, tokens }) => [tokens, src]));
    for (const token of found) Object.assign(token, { lexer, lines, reader });
  }
  const length = found.reduce((length, { raw }) => length + raw.length, 0);
  reader.rest = rest.slice(length);
  if (reader.rest && length < FEW_READ) reader.failed++;
  reader.blocks.push(...found.flatMap(pieces));
  return !reader.rest;
}

// A long list becomes several.
function pieces(token) {
  if (token.type !== "list" || token.items.length <= MOST_ITEMS) return [token];
  const lists = [];
  for (let at = 0; at < token.items.length; at += MOST_ITEMS) {
    const items = token.items.slice(at, at + MOST_ITEMS);
    lists.push({ ...token, items, start: token.ordered && token.start + at, raw: items.map(item => item.raw).join("") });
  }
  return lists;
}

function readLines(token, { lexer, lines }) {
  const src = lines.get(token.tokens);
  if (src !== undefined) {
    lexer.state.inRawBlock = false;
    lexer.inlineTokens(src, token.tokens);
  } else for (const child of token.tokens ?? []) readLines(child, { lexer, lines });
  for (const child of [token.items, token.header, token.rows].flat(2)) if (child) readLines(child, { lexer, lines });
}

// The HTML of a block, or nothing where it is too much.
function toHtml(token) {
  if (token.type === "plain" || token.reader.failed > MOST_FAILED || (token.type !== "code" && token.raw.length > MOST_IN_BLOCK)) return;
  const begin = now();
  try {
    within(MOST_IN_LINES, () => readLines(token, token));
    const html = markdown.parser([token]);
    let level = 0, tags = 0;
    for (const [, end, name] of html.matchAll(/<(\/?)(\w+)/g)) {
      if (end) level--;
      else if (++tags > MOST_TAGS || (name !== "br" && name !== "hr" && ++level > MOST_LEVELS)) return;
    }
    return html;
  } catch {
    return undefined;
  } finally {
    if (now() - begin > SLOW_LINES) token.reader.failed++;
  }
}

// -- HTML that can do no harm --

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

function toDom(blocks, live) {
  const dom = new DocumentFragment();
  let html = "";
  const flush = () => {
    if (html) dom.append(DOMPurify.sanitize(html, CLEAN));
    html = "";
  };
  for (const block of blocks) {
    const more = toHtml(block);
    if (more === undefined) {
      flush();
      dom.append(asWritten(block.raw));
    } else html += more;
  }
  flush();
  separate(dom);
  const room = { nodes: MOST_INLINE_NODES };
  for (const code of all("[class|=language-math]", dom)) inTime(() => typeset(code, room));
  for (const pre of all("pre", dom)) frameCode(pre, live);
  for (const table of all("table", dom)) {
    const frame = make("div", { className: "table", tabIndex: 0, role: "group", ariaLabel: says.table });
    table.replaceWith(frame);
    frame.append(table);
  }
  return dom;
}

function asWritten(text) {
  const shown = make("div", { className: "plain" });
  fill(shown, text.replace(/\n+$/, ""));
  return shown;
}
