// What the limits count: totals since the start, rates of the last seconds, and the last minute of both.

// The order of the numbers in a row of the event `rows`, behind the row.
export const HITS = 0, OVER = 1, NEAR = 2, CACHE = 3, WITHIN = 4, SHADOW = 5, REFUNDS = 6;
const NUMBERS = 7;
const SAMPLES_MAX = 120;
const RATE_SAMPLES = 4;

/** The counts of one node and all below it. */
class Counts {
  constructor() {
    this.own = new Float64Array(NUMBERS);
    this.sum = new Float64Array(NUMBERS);
    this.told = new Float64Array(NUMBERS);
    this.history = { hits: [], over: [], near: [] };
    this.rates = { hits: 0, over: 0, near: 0 };
    this.silent = 0;
  }
}

/** All counts, by the nodes of a tree: what a limit counts, counts for every node above it. */
export class Rates {
  constructor() {
    this.counts = new Map();
    this.lively = new Set();
    this.at = 0;
    this.begun = false;
  }

  /** The counts of a node; undefined where it never counted. */
  of(node) {
    return this.counts.get(node);
  }

  /** Note the totals of a node. After a restart of the service they are lower, and begin anew. */
  set(node, numbers) {
    const counts = this.#made(node);
    for (let i = 0; i < NUMBERS; i++) {
      const now = Number(numbers[i]) || 0;
      const more = now >= counts.own[i] ? now - counts.own[i] : now;
      counts.own[i] = now;
      if (more) for (let each = node; each; each = each.parent) this.#made(each).sum[i] += more;
    }
    for (let each = node; each; each = each.parent) this.lively.add(each);
  }

  /** A moment of the service, in seconds: what came since the one before is a sample. */
  sample(at) {
    const passed = at - this.at;
    this.at = at;
    if (!this.begun || passed <= 0) {
      // What was counted before the page was open is no rate.
      for (const counts of this.counts.values()) counts.told.set(counts.sum);
      this.begun = true;
      return;
    }
    for (const node of this.lively) {
      const counts = this.counts.get(node);
      const { history, rates, told, sum } = counts;
      const more = (which) => Math.max(0, sum[which] - told[which]) / passed;
      push(history.hits, more(HITS));
      push(history.over, more(OVER));
      push(history.near, more(NEAR));
      for (const name of ["hits", "over", "near"]) rates[name] = mean(history[name].slice(-RATE_SAMPLES));
      counts.silent = sum[HITS] === told[HITS] ? counts.silent + 1 : 0;
      told.set(sum);
      if (counts.silent > SAMPLES_MAX) this.lively.delete(node);
    }
  }

  #made(node) {
    let counts = this.counts.get(node);
    if (!counts) this.counts.set(node, (counts = new Counts()));
    return counts;
  }
}

function push(values, value) {
  values.push(value);
  if (values.length > SAMPLES_MAX) values.shift();
}

function mean(values) {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : 0;
}

/** A rate for people: one decimal below ten, short above a thousand. */
export function shown(number) {
  if (!(number > 0)) return "0";
  if (number < 0.05) return "<0.1";
  if (number < 10) return String(Math.round(number * 10) / 10);
  if (number < 9999.5) return String(Math.round(number));
  if (number < 999_950) return `${(number / 1e3).toFixed(1)}k`;
  return number < 999_950_000 ? `${(number / 1e6).toFixed(1)}M` : `${(number / 1e9).toFixed(1)}G`;
}

/** Text with everything escaped that cannot be seen, or would turn what stands around it. */
export function legible(text) {
  return String(text).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

/** A new element with a class and text; never markup. */
export function element(tag, name = "", text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== "") made.textContent = text;
  return made;
}
