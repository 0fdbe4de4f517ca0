// The page on the debug port: what the service tells of itself, as it happens.

import { drawChart } from "./page/chart.js";
import { showAnswer, showKeys, showLoads, showState, showUnknown } from "./page/panels.js";
import { Divided } from "./page/quota.js";
import { CACHE, HITS, NEAR, OVER, Rates, REFUNDS, SHADOW, WITHIN, element, legible, shown } from "./page/rates.js";
import { Tree } from "./page/tree.js";

const AGAIN_MS = 3000;
const ORDER_MS = 2000;
const WINDOW = 4;
const by = (id) => document.getElementById(id);

let rates = new Rates();
const tree = new Tree(by("tree"), by("rows"), rates, showDetail);
const divided = new Divided(by("divided-section"), by("divided"), by("divided-note"));
let keys = { busiest: [], over: [], step: 1 };
let which = "busiest";
let loaded = 0; // the number of the tree that is shown
let loading = 0; // not 0 while one is on its way
let waiting = new Map(); // counts of rows that are not there yet
let waitingFor = 0; // and the number of their tree
const moments = [];

// The limits.

async function load(number) {
  loading = number;
  try {
    const answer = await fetch("page/limits");
    if (!answer.ok) throw new Error(answer.statusText);
    await take(answer);
  } catch {
    loading = 0; // the next state tries again
  }
}

async function take(answer) {
  const before = tree.kept();
  const files = [];
  let head = null;
  const rows = [];
  for await (const line of lines(answer.body)) {
    if (!head) head = line;
    else {
      files.push(...line.files);
      rows.push(...line.rows);
    }
  }
  if (!head || !head.tree) return;
  rates = tree.rates = new Rates();
  tree.clear();
  tree.add(rows, files);
  loaded = head.tree;
  loading = 0;
  if (waitingFor === head.tree) for (const [row, numbers] of waiting) note(row, numbers);
  waiting = new Map();
  tree.done(before);
  showCount(head);
  showDetail(tree.selected);
}

/** The lines of a body, each read as JSON. */
async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part);
  }
}

let limits = 0;
function showCount(head) {
  if (head) limits = head.limits;
  const some = tree.terms.length ? `${tree.found} found of ` : "";
  by("count").textContent = `${some}${limits.toLocaleString("en")} in ${tree.domains.length} ${tree.domains.length === 1 ? "domain" : "domains"}`;
  const none = !tree.visible.length;
  by("empty").hidden = !none;
  by("empty").textContent = tree.terms.length ? "Nothing in the configuration has these words." : "Nothing is configured.";
}

function note(row, numbers) {
  const node = tree.nodes[row];
  if (node) rates.set(node, numbers);
}

function showDetail(node) {
  by("detail").hidden = !node;
  if (!node) return;
  const counts = rates.of(node);
  by("detail-name").textContent = legible(node.path);
  const place = node.line ? `${node.file}:${node.line}` : node.file;
  by("detail-about").textContent = [node.limit, ...node.tags, place].filter(Boolean).map(legible).join(" · ");
  drawChart(by("detail-chart"), counts?.history, 40);
  const names = { "hits since start": HITS, within: WITHIN, near: NEAR, over: OVER, "over, known by cache": CACHE, "let pass by shadow mode": SHADOW, "given back": REFUNDS };
  const shownAlways = [HITS, WITHIN, NEAR, OVER];
  by("detail-counts").replaceChildren(...Object.entries(names).filter(([, number]) => shownAlways.includes(number) || counts?.sum[number]).map(([name, number]) => {
    const part = element("div");
    part.append(element("dt", "", name), element("dd", "", (counts?.sum[number] ?? 0).toLocaleString("en")));
    return part;
  }));
}

// What is told.

function showTiles(state) {
  const sum = (names) => names.reduce((all, name) => all + (state.stats[`ratelimit.service.call.should_rate_limit.${name}`] ?? 0), 0);
  const calls = state.calls.reduce((all, number) => all + number, 0);
  const failed = sum(["redis_error", "service_error", "internal_error", "deadline_exceeded"]);
  moments.push({ at: state.at, calls, failed, seconds: state.seconds });
  if (moments.length > WINDOW + 1) moments.shift();
  const first = moments[0];
  const passed = state.at - first.at;
  if (passed <= 0) return;
  const per = (name) => Math.max(0, moments.at(-1)[name] - first[name]) / passed;
  const over = tree.domains.reduce((all, domain) => all + (rates.of(domain)?.rates.over ?? 0), 0);
  by("calls").textContent = shown(per("calls"));
  by("over").textContent = shown(over);
  by("failed").textContent = shown(per("failed"));
  by("failed").classList.toggle("alarm", per("failed") > 0);
  const mean = per("calls") ? (1000 * per("seconds")) / per("calls") : 0;
  by("mean").textContent = mean ? `${mean < 10 ? mean.toFixed(2) : mean.toFixed(0)} ms` : "–";
}

function health(text, kind) {
  const pill = by("health");
  if (pill.textContent !== text) pill.textContent = text;
  pill.className = `pill ${kind}`;
}

const told = {
  rows({ tree: number, rows }) {
    if (number === loaded && !loading) for (const [row, ...numbers] of rows) note(row, numbers);
    else {
      if (number !== waitingFor) waiting = new Map();
      waitingFor = number;
      for (const [row, ...numbers] of rows) waiting.set(row, numbers);
    }
  },
  state(state) {
    if (state.tree && state.tree !== loaded && !loading) load(state.tree);
    if (!state.tree) showCount({ limits: 0 });
    health(state.healthy ? "serving" : "not serving", state.healthy ? "good" : "bad");
    rates.sample(state.at);
    showTiles(state);
    showState(by("state"), state);
    tree.paint();
    showDetail(tree.selected);
    divided.tick(state);
  },
  keys(value) {
    keys = value;
    showKeys(by("keys"), by("keys-note"), keys, which);
  },
  loads: (loads) => showLoads(by("loads"), loads),
  unknown: (unknown) => showUnknown(by("unknown-section"), by("unknown"), unknown),
};

function listen() {
  const source = new EventSource("page/events");
  for (const [name, take] of Object.entries(told)) source.addEventListener(name, (event) => take(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    health("no connection", "bad");
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN_MS);
  });
  addEventListener("pagehide", () => source.close(), { once: true });
}

// What people do.

function choose(kind) {
  which = kind;
  for (const each of ["busiest", "over"]) by(`show-${each}`).setAttribute("aria-pressed", each === kind);
  showKeys(by("keys"), by("keys-note"), keys, which);
}

function toExplain(node) {
  if (node) {
    const entries = [];
    let each = node;
    for (; each.parent; each = each.parent) entries.unshift(`${each.key}=${each.value}`);
    by("explain-domain").value = each.key;
    by("explain-entries").value = entries.join("\n");
  }
  by("explain-domain").focus();
  by("explain").scrollIntoView({ block: "nearest" });
}

async function explain(event) {
  event.preventDefault();
  const asked = new URLSearchParams(new FormData(by("explain")));
  try {
    const answer = await fetch(`explain?${asked}`, { headers: { Accept: "application/json" } });
    showAnswer(by("answer"), await answer.json());
  } catch {
    showAnswer(by("answer"), { error: "the service did not answer" });
  }
}

function search() {
  tree.search(by("search").value);
  divided.search(by("search").value);
  showCount();
}

function shortcut(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "Escape" && event.target === by("search")) {
    by("search").value = "";
    search();
    by("tree").focus();
  } else if (event.key === "/" && !typing) {
    event.preventDefault();
    by("search").focus();
  } else if (event.key === "e" && !typing) {
    event.preventDefault();
    toExplain(tree.selected);
  } else if (event.key === "ArrowDown" && event.target === by("search")) {
    event.preventDefault();
    by("tree").focus();
    if (tree.visible.length) tree.select(tree.visible[0]);
  }
}

by("search").addEventListener("input", search);
by("order").addEventListener("change", () => {
  tree.order = by("order").value;
  tree.refresh();
});
by("show-busiest").addEventListener("click", () => choose("busiest"));
by("show-over").addEventListener("click", () => choose("over"));
by("detail-explain").addEventListener("click", () => toExplain(tree.selected));
by("explain").addEventListener("submit", explain);
document.addEventListener("keydown", shortcut);
setInterval(() => tree.order !== "file" && !document.hidden && tree.refresh(), ORDER_MS);
function start() {
  load(-1);
  listen();
}

by("search").value = "";
// The page is seen first; a tab that nobody looks at is never painted.
if (document.hidden) start();
else requestAnimationFrame(() => setTimeout(start));
