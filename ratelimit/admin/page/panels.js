// What stands beside the tree: keys, store and workers, loads, unknown domains, and the answer of the explain form.

import { element, legible, shown } from "./rates.js";

/** Put new children into an element. */
function fill(parent, children) {
  parent.replaceChildren(...children);
}

function fact(list, name, value, bad = false) {
  list.push(element("dt", "", name), element("dd", bad ? "bad" : "", value));
}

/** A counter as people read it: its domain and entries, or its name as it is. */
export function keyText(text) {
  const what = element("span", "what");
  if (text.name !== undefined) {
    what.textContent = legible(text.name);
    return what;
  }
  what.append(element("span", "domain", `${legible(text.domain)} `));
  const entries = text.entries.map(([key, value]) => `${legible(key)}=${legible(value)}`);
  what.append(entries.join(" ") + (text.more ? ` and ${text.more} more` : ""));
  return what;
}

export function showKeys(list, note, keys, which) {
  const rows = keys[which];
  const most = rows.length ? rows[0][2] : 0;
  fill(list, rows.slice(0, 12).map(([, text, rate, error]) => {
    const item = element("li"), share = element("span", "share");
    share.style.width = `${most > 0 ? (100 * rate) / most : 0}%`;
    const number = element("span", "number", `${shown(rate)}/s`);
    if (error > 0) number.title = `at most ${shown(error)}/s too high`;
    item.append(share, keyText(text), number);
    return item;
  }));
  const sampled = keys.step > 1 ? `From one in ${keys.step} hits.` : "";
  const none = which === "over" ? "No key is over its limit." : "Nothing is counted now.";
  note.textContent = rows.length ? sampled : none;
}

function storeFacts(list, state, stats) {
  const count = (name) => stats[`ratelimit.${name}`] ?? 0;
  const kind = { redis: `Redis, ${state.topology.toLowerCase()}`, memory: "memory, of this process", memcache: "memcached" };
  fact(list, "store", kind[state.store] ?? state.store);
  for (const [store, pool, name] of [["store", "redis_pool", ""], ["store_per_second", "redis_per_second_pool", " per second"]]) {
    if (!(`ratelimit.${store}.batches` in stats) || state.store === "memory") continue;
    const open = count(`${store}.breaker_open`);
    fact(list, `connections${name}`, String(count(`${pool}.cx_active`)), !count(`${pool}.cx_active`));
    fact(list, `breaker${name}`, open ? `open: ${open}` : "closed", open > 0);
    fact(list, `timeouts, errors${name}`, `${count(`${store}.timeouts`)}, ${count(`${store}.errors`)}`);
    if (count(`${store}.unknown_outcomes`)) fact(list, `unknown outcomes${name}`, String(count(`${store}.unknown_outcomes`)));
  }
}

/** Store, breaker, clients and workers. */
export function showState(parent, state) {
  const list = [], stats = state.stats;
  const count = (name) => stats[`ratelimit.${name}`] ?? 0;
  storeFacts(list, state, stats);
  fact(list, "gRPC clients", String(count("grpc.cx_active")));
  if ("ratelimit.localcache.entryCount" in stats) fact(list, "over-limit cache", `${count("localcache.entryCount")} keys`);
  for (const worker of state.workers) {
    const words = [worker.serving ? "serving" : "starting", worker.healthy ? "healthy" : "not healthy", `generation ${worker.generation}`];
    fact(list, `worker ${worker.worker}`, words.join(", "), !worker.healthy);
  }
  if (state.workers.length) fact(list, "restarts", String(count("workers.restarts")), count("workers.restarts") > 0);
  fill(parent, list);
}

function plural(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

export function showLoads(list, loads) {
  fill(list, [...loads.last].reverse().slice(0, 8).map((load) => {
    const item = element("li");
    const place = [load.file, load.line || ""].filter(String).map(legible).join(":");
    if (load.error) {
      item.append(element("span", "what bad", [place, load.key_path, load.error].filter(Boolean).map(legible).join(": ")));
    } else {
      item.append(element("span", "", `${plural(load.domains, "domain")}, ${plural(load.limits, "limit")}`));
    }
    const time = element("time", "quiet", new Date(load.at * 1000).toLocaleTimeString());
    time.dateTime = new Date(load.at * 1000).toISOString();
    time.title = new Date(load.at * 1000).toLocaleString();
    item.append(time);
    for (const warning of load.warnings) item.append(element("span", "more", legible(warning)));
    return item;
  }));
}

export function showUnknown(section, list, unknown) {
  section.hidden = !unknown.domains.length;
  fill(list, unknown.domains.map(([domain, number]) => {
    const item = element("li");
    item.append(element("span", "what", legible(domain)), element("span", "number", shown(number)));
    return item;
  }));
}

/** The answer of /explain, in JSON, as people read it. */
export function showAnswer(parent, answer) {
  if (answer.error !== undefined) {
    fill(parent, [element("p", "bad", legible(answer.error))]);
    return;
  }
  const parts = (answer.descriptors ?? []).map((each) => {
    const part = element("div");
    part.append(element("p", "mono", each.entries.map(([key, value]) => legible(`${key}=${value}`)).join(" ")));
    const levels = element("ol");
    levels.append(...each.levels.map((level) => element("li", "", legible(level.told))));
    part.append(levels, element("p", "reason", legible(each.reason)));
    if (each.current) part.append(element("p", "", `now: ${legible(each.current.told)}`));
    if (each.counter) part.append(element("p", "quiet mono", legible(each.counter.key)));
    const notes = element("ul");
    notes.append(...each.notes.map((note) => element("li", "", legible(note))));
    if (each.notes.length) part.append(notes);
    return part;
  });
  fill(parent, [...parts, ...(answer.overall ?? []).map((text) => element("p", "quiet", legible(text)))]);
}
