/**
 * How words make a line: the rules of `streamtrans_clients/source_words.py`, and a test holds the two to the same output.
 *
 * It knows characters. It does not know sessions or the page.
 */

const HAN = "\\u3007\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff\\u{20000}-\\u{3ffff}";
const STOPS = "。！？，、；：｡";
const BEFORE = new RegExp(`[${HAN}${STOPS}]$`, "u");
const BEHIND = new RegExp(`^[${HAN}${STOPS}]`, "u");

/** What stands between two words: a blank, but nothing beside a Chinese character or a full-width stop. */
export function blank(before, behind) {
  return !before || !behind || BEFORE.test(before) || BEHIND.test(behind) ? "" : " ";
}

/** Words as one writes them. */
export function sentence(words) {
  return words.map((word, i) => blank(words[i - 1], word) + word).join("");
}

/** What still stands of a draft when a word is committed: it takes the place of the draft, or of its first word. */
export function rest(draft, word) {
  return draft[0] === word ? draft.slice(1) : [];
}
