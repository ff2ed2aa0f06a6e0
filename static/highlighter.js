// Colours code beside the page, which can end this when it takes too long: a word of some thousand letters is enough for that.
"use strict";

importScripts(`vendor/highlight.min.js${location.search}`);

// It escapes what it colours.
onmessage = ({ data: { text, language } }) => {
  postMessage(hljs.getLanguage(language) ? hljs.highlight(text, { language, ignoreIllegals: true }).value : "");
};
