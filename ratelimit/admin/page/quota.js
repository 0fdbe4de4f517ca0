// Divided limits: who has what share of them, asked of /rlqs while the page is seen.

import { keyText } from "./panels.js";
import { element, legible, shown } from "./rates.js";

const SOME_MS = 2000; // while there is something to see
const NONE_MS = 10_000;
const BUCKETS_MAX = 50;

function set(span, text) {
  if (span.textContent !== text) span.textContent = text;
}

function plural(number, word) {
  return `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
}

/** A bar of a share, and on it a line where the demand is; `whole` is the rate of its full width. */
function makeBar() {
  const bar = element("span", "bar-of");
  bar.setAttribute("aria-hidden", "true");
  bar.append(element("span", "held"), element("span", "share"), element("span", "wanted"));
  return bar;
}

function drawBar(bar, rate, hold, demand, whole) {
  const part = (value) => `${whole > 0 ? Math.min(100, (100 * value) / whole) : 0}%`;
  const [held, share, wanted] = bar.children;
  held.style.width = part(hold);
  share.style.width = part(rate);
  wanted.style.left = part(demand);
  wanted.hidden = !(demand > 0);
}

/** A bucket of the list: a summary, and its Envoys while it is open. */
class Bucket {
  constructor(bucket, onToggle) {
    this.id = bucket.id;
    this.item = element("li");
    this.details = element("details");
    const summary = element("summary");
    this.bar = makeBar();
    this.numbers = element("span", "numbers");
    summary.append(keyText(bucket), this.bar, this.numbers);
    this.envoys = element("div", "envoys");
    this.details.append(summary, this.envoys);
    this.details.addEventListener("toggle", () => onToggle(this));
    this.item.append(this.details);
  }

  show(bucket) {
    drawBar(this.bar, bucket.assigned, bucket.hold, bucket.demand, Math.max(bucket.limit, bucket.demand));
    this.#showNumbers(bucket);
    if (this.details.open) this.#showEnvoys(bucket);
    else this.envoys.replaceChildren();
  }

  #showNumbers(bucket) {
    const facts = [["limit", bucket.limit], ["assigned", bucket.assigned], ["held", bucket.hold], ["wanted", bucket.demand], ["refused", bucket.refused]];
    if (!this.numbers.childNodes.length) {
      for (const [name] of facts) {
        const fact = element("span", "fact");
        fact.append(element("b"), ` ${name}`);
        this.numbers.append(fact);
      }
      this.numbers.append(element("span", "fact"), element("span", "fact near"), element("span", "fact"));
    }
    const parts = [...this.numbers.children];
    facts.forEach(([, value], place) => set(parts[place].firstChild, shown(value)));
    parts[4].classList.toggle("bad", bucket.refused > 0);
    set(parts[5], plural(bucket.envoys_all, "Envoy"));
    set(parts[6], bucket.silent ? `${bucket.silent} silent` : "");
    set(parts[7], bucket.learning ? "learning" : "");
  }

  #showEnvoys(bucket) {
    const whole = bucket.envoys.reduce((most, { rate, hold, demand }) => Math.max(most, rate, hold, demand), 0);
    const head = element("div", "envoy quiet");
    head.append(...["Envoy", "share/s", "wanted/s", "refused/s"].map((text, place) => element("span", place ? "number" : "", text)));
    // Equal shares differ behind the point, from one answer to the next: so they stand by name.
    const order = (a, b) => Math.round(b.hold) - Math.round(a.hold) || (a.envoy < b.envoy ? -1 : 1);
    const rows = [...bucket.envoys].sort(order).map((each) => {
      const row = element("div", each.silent ? "envoy silent" : "envoy");
      const bar = makeBar();
      drawBar(bar, each.rate, each.hold, each.demand, whole);
      const name = element("span", "what", legible(each.envoy));
      if (each.silent) name.append(element("span", "near", ` silent ${Math.round(each.age_s)} s`));
      row.append(name, bar, ...[each.rate, each.demand].map((value) => element("span", "number", shown(value))));
      row.append(element("span", each.refused > 0 ? "number bad" : "number", shown(each.refused)));
      return row;
    });
    const left = bucket.envoys_all - bucket.envoys.length;
    const more = bucket.envoys.length && left > 0 ? [element("p", "quiet", `${plural(left, "Envoy")} with smaller shares not shown.`)] : [];
    this.envoys.replaceChildren(head, ...rows, ...more);
  }
}

export class Divided {
  constructor(section, list, note) {
    Object.assign(this, { section, list, note });
    this.buckets = new Map();
    this.words = "";
    this.opened = "";
    this.some = false;
    this.here = false;
    this.askedAt = -Infinity;
    this.asking = false;
    this.again = false;
  }

  /** A state of the service: ask again when it is time, and only where this process has the shares. */
  tick(state) {
    this.here = state.divided;
    if (!this.here) this.#elsewhere(state.stats);
    else if (!document.hidden && performance.now() - this.askedAt >= (this.some ? SOME_MS : NONE_MS)) this.ask();
  }

  search(text) {
    this.words = text;
    if (this.here && !this.section.hidden) this.ask();
  }

  async ask() {
    this.again = this.asking;
    if (this.asking) return;
    this.asking = true;
    this.askedAt = performance.now();
    try {
      const asked = new URLSearchParams({ buckets: BUCKETS_MAX, words: this.words, open: this.opened });
      const answer = await fetch(`rlqs?${asked}`);
      if (answer.ok) this.#show(await answer.json());
    } catch {
      // There is no connection, as the page says already.
    }
    this.asking = false;
    if (this.again) this.ask();
  }

  #show({ buckets, more }) {
    this.some = buckets.length > 0;
    this.section.hidden = !this.some && (this.section.hidden || !this.words);
    const before = this.buckets;
    this.buckets = new Map(buckets.map((value) => [value.id, before.get(value.id) ?? new Bucket(value, (bucket) => this.#toggled(bucket))]));
    for (const [id, bucket] of before) if (!this.buckets.has(id)) bucket.item.remove();
    buckets.forEach((value, place) => {
      const bucket = this.buckets.get(value.id);
      // What stands where it belongs is left alone: moving an element takes the focus from it.
      if (this.list.children[place] !== bucket.item) this.list.insertBefore(bucket.item, this.list.children[place] ?? null);
      bucket.show(value);
    });
    const left = more ? `The first ${buckets.length}; search for others, or see /rlqs.` : "Requests per second. Bar: assigned, held; line: wanted.";
    set(this.note, this.some ? left : "No divided limit has these words.");
  }

  #toggled(bucket) {
    if (bucket.details.open) {
      for (const each of this.buckets.values()) if (each !== bucket) each.details.open = false;
      this.opened = bucket.id;
    } else if (this.opened === bucket.id) this.opened = "";
    else return;
    this.ask();
  }

  /** Workers have the ledgers: only their sums are known here. */
  #elsewhere(stats) {
    const rows = stats["ratelimit.quota.rows"] ?? 0;
    this.section.hidden = !rows;
    const sums = `${plural(stats["ratelimit.quota.streams_active"] ?? 0, "stream")} of Envoys, ${plural(rows, "share")} in all workers.`;
    set(this.note, `${sums} The workers divide each limit together, in the store, and this process has no ledger: sums of each limit are in /stats, who has what is shown where WORKERS is 1.`);
  }
}
