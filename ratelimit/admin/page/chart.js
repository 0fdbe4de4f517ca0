// Small charts of the last minute: an area of hits, and on it an area of those that were over.

const WIDTH = 120;

/** The path of an area: `values`, oldest first, the last one at the right edge; `top` is the value at the upper edge. */
function area(values, top, height) {
  if (values.length < 2 || top <= 0) return "";
  let path = "";
  const first = WIDTH - values.length + 1;
  for (let i = 0; i < values.length; i++) {
    const y = height - Math.min(1, values[i] / top) * (height - 1);
    path += `${i ? "L" : "M"}${first + i - 1} ${y.toFixed(1)}`;
  }
  return `${path}L${WIDTH - 1} ${height}L${first - 1} ${height}Z`;
}

/** Make the two paths of a chart within `svg`. */
export function makeChart(svg) {
  svg.setAttribute("viewBox", `0 0 ${WIDTH} 24`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "chart");
  svg.setAttribute("aria-hidden", "true");
  for (const name of ["hits", "over"]) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("class", name);
    svg.append(path);
  }
}

/** Draw hits and over, a second each, in the two paths of `svg`. */
export function drawChart(svg, history, height = 24) {
  const top = history ? Math.max(...history.hits) : 0;
  const [hits, over] = svg.children;
  set(hits, history && top > 0 ? area(history.hits, top, height) : "");
  set(over, history && history.over.some((value) => value > 0) ? area(history.over, top, height) : "");
}

function set(path, d) {
  if (path.getAttribute("d") !== d) path.setAttribute("d", d);
}
