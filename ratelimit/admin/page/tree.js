// The tree of domains and limits: only the rows in view are elements, however many there are.

import { drawChart, makeChart } from "./chart.js";
import { element, legible, shown } from "./rates.js";

const EXPANDED_WHOLE_MAX = 200;
const DOMAINS_EXPANDED_MAX = 20;
const BEYOND = 6; // rows drawn above and below what is seen

/** A node from a row of /page/limits. */
function nodeOf(row, number, files) {
  const [depth, key, value, limit, tags, file, line] = row;
  const composite = value ? `${key}_${value}` : key;
  return { number, depth, key, value, composite, limit, tags, file: files[file] ?? "", line, children: [], open: false };
}

export class Tree {
  constructor(view, rows, rates, onSelect) {
    this.view = view;
    this.rows = rows;
    this.rates = rates;
    this.onSelect = onSelect;
    this.order = "file";
    this.terms = [];
    this.selected = null;
    this.pool = [];
    this.clear();
    view.addEventListener("scroll", () => this.paint(), { passive: true });
    view.addEventListener("keydown", (event) => this.#key(event));
    rows.addEventListener("click", (event) => this.#click(event));
    new ResizeObserver(() => this.paint()).observe(view);
  }

  clear() {
    this.nodes = [];
    this.domains = [];
    this.visible = [];
    this.selected = null;
    this.stack = [];
  }

  /** Take in rows as they come; `done` shows them. */
  add(rows, files) {
    for (const row of rows) {
      const node = nodeOf(row, this.nodes.length, files);
      node.parent = node.depth ? this.stack[node.depth - 1] : null;
      (node.parent ? node.parent.children : this.domains).push(node);
      node.path = node.parent ? `${node.parent.path}.${node.composite}` : node.composite;
      node.words = node.path.toLowerCase();
      this.stack.length = node.depth;
      this.stack.push(node);
      this.nodes.push(node);
    }
  }

  /** All rows are there: open what is small, and choose again what was chosen in the tree before. */
  done(before) {
    const whole = this.nodes.length <= EXPANDED_WHOLE_MAX;
    const opened = before && before.opened;
    for (const node of this.nodes) {
      if (!node.children.length) continue;
      node.open = opened ? opened.has(node.path) : whole || (!node.depth && this.domains.length <= DOMAINS_EXPANDED_MAX);
    }
    if (before && before.selected) this.selected = this.nodes.find((node) => node.path === before.selected) ?? null;
    this.refresh();
  }

  /** What to keep over a reload. */
  kept() {
    if (!this.nodes.length) return null;
    const opened = new Set(this.nodes.filter((node) => node.open).map((node) => node.path));
    return { opened, selected: this.selected && this.selected.path };
  }

  search(text) {
    this.terms = text.toLowerCase().split(/\s+/).filter(Boolean);
    this.view.scrollTop = 0;
    this.refresh();
  }

  /** Work out which rows there are to see. */
  refresh() {
    this.found = 0; // nodes that have the words searched for
    let wanted = null;
    if (this.terms.length) {
      wanted = new Set();
      for (const node of this.nodes) {
        if (!this.terms.every((term) => node.words.includes(term))) continue;
        this.found++;
        for (let each = node; each && !wanted.has(each); each = each.parent) wanted.add(each);
      }
    }
    this.visible = [];
    this.#show(this.domains, wanted);
    this.rows.style.height = `${this.visible.length * this.height}px`;
    this.paint();
  }

  #show(nodes, wanted) {
    const siblings = this.#ordered(wanted ? nodes.filter((node) => wanted.has(node)) : nodes);
    siblings.forEach((node, index) => {
      node.place = index + 1;
      node.siblings = siblings.length;
      node.index = this.visible.length;
      this.visible.push(node);
      if (node.children.length && this.#isOpen(node, wanted)) this.#show(node.children, wanted);
    });
  }

  #isOpen(node, wanted) {
    return wanted ? node.closedInSearch !== this.terms.join(" ") && node.children.some((each) => wanted.has(each)) : node.open;
  }

  /** Whether rows below a node that is to see are to see, too. */
  #opened(node) {
    return this.visible[node.index + 1]?.parent === node;
  }

  #ordered(nodes) {
    if (this.order === "file") return nodes;
    const rate = (node) => this.rates.of(node)?.rates[this.order] ?? 0;
    return [...nodes].sort((a, b) => rate(b) - rate(a) || a.number - b.number);
  }

  get height() {
    return Number(getComputedStyle(this.view).getPropertyValue("--row")) || 32;
  }

  /** Draw the rows in view. */
  paint() {
    const height = this.height;
    const first = Math.max(0, Math.floor(this.view.scrollTop / height) - BEYOND);
    const last = Math.min(this.visible.length, Math.ceil((this.view.scrollTop + this.view.clientHeight) / height) + BEYOND);
    while (this.pool.length < last - first) this.pool.push(this.#made());
    this.pool.forEach((row, place) => {
      const node = first + place < last ? this.visible[first + place] : null;
      row.element.hidden = !node;
      row.node = node;
      if (node) this.#fill(row, node, (first + place) * height);
    });
    const shown = this.selected && this.visible[this.selected.index] === this.selected;
    const inView = shown && this.selected.index >= first && this.selected.index < last;
    if (inView) this.view.setAttribute("aria-activedescendant", `row-${this.selected.number}`);
    else this.view.removeAttribute("aria-activedescendant");
  }

  #made() {
    const row = { element: element("div", "row"), node: null };
    row.element.setAttribute("role", "treeitem");
    const name = element("span", "name");
    row.twist = element("span", "twist");
    row.text = element("span", "text");
    row.key = element("b");
    row.value = element("span", "value");
    row.text.append(row.key, row.value);
    row.tags = element("span", "tags");
    name.append(row.twist, row.text, row.tags);
    row.limit = element("span", "limit");
    row.chart = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    makeChart(row.chart);
    row.hits = element("span", "number");
    row.near = element("span", "number near");
    row.over = element("span", "number over");
    row.element.append(name, row.limit, row.chart, row.hits, row.near, row.over);
    this.rows.append(row.element);
    return row;
  }

  #fill(row, node, top) {
    const { element: div } = row;
    div.style.transform = `translateY(${top}px)`;
    if (row.drawn !== node) {
      row.drawn = node;
      div.id = `row-${node.number}`;
      row.key.textContent = legible(node.key);
      row.value.textContent = node.value ? ` ${legible(node.value)}` : "";
      row.text.title = legible(node.path);
      row.tags.textContent = node.tags.map(legible).join(" · ");
      row.limit.textContent = node.limit;
      row.twist.parentElement.style.paddingLeft = `${Math.min(node.depth, 12) * 1.1}rem`;
      row.twist.className = node.children.length ? "twist" : "twist leaf";
      div.setAttribute("aria-level", node.depth + 1);
    }
    div.setAttribute("aria-setsize", node.siblings);
    div.setAttribute("aria-posinset", node.place);
    div.setAttribute("aria-selected", node === this.selected);
    if (node.children.length) div.setAttribute("aria-expanded", this.#opened(node));
    else div.removeAttribute("aria-expanded");
    const counts = this.rates.of(node);
    drawChart(row.chart, counts?.history);
    for (const name of ["hits", "near", "over"]) {
      const rate = counts?.rates[name] ?? 0;
      const text = shown(rate);
      if (row[name].textContent !== text) row[name].textContent = text;
      row[name].classList.toggle("zero", !(rate > 0));
    }
  }

  select(node, { scroll = true } = {}) {
    this.selected = node;
    if (node && scroll) {
      const top = node.index * this.height, bottom = top + this.height;
      if (top < this.view.scrollTop) this.view.scrollTop = top;
      else if (bottom > this.view.scrollTop + this.view.clientHeight) this.view.scrollTop = bottom - this.view.clientHeight;
    }
    this.paint();
    this.onSelect(node);
  }

  open(node, open) {
    if (this.terms.length) node.closedInSearch = open ? "" : this.terms.join(" ");
    else node.open = open;
    this.refresh();
  }

  #click(event) {
    const row = this.pool.find((each) => each.node && each.element.contains(event.target));
    if (!row) return;
    const { node } = row;
    const twisted = event.target === row.twist || node === this.selected;
    if (node.children.length && twisted) this.open(node, !this.#opened(node));
    this.select(node, { scroll: false });
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.visible.length) return;
    const at = this.selected && this.visible[this.selected.index] === this.selected ? this.selected.index : -1;
    const node = at < 0 ? null : this.visible[at];
    const opened = node && this.#opened(node);
    const page = Math.max(1, Math.floor(this.view.clientHeight / this.height) - 1);
    const go = (index) => this.select(this.visible[Math.min(this.visible.length - 1, Math.max(0, index))]);
    const moves = {
      ArrowDown: () => go(at + 1),
      ArrowUp: () => go(at - 1),
      Home: () => go(0),
      End: () => go(this.visible.length - 1),
      PageDown: () => go(at + page),
      PageUp: () => go(at - page),
      ArrowRight: () => (node?.children.length && !opened ? this.open(node, true) : opened && go(at + 1)),
      ArrowLeft: () => (opened ? this.open(node, false) : node?.parent && this.select(node.parent)),
      Enter: () => node?.children.length && this.open(node, !opened),
      " ": () => node?.children.length && this.open(node, !opened),
    };
    if (!Object.hasOwn(moves, event.key)) return;
    event.preventDefault();
    moves[event.key]();
  }
}
