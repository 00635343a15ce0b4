// What a browser adds to the page: charts that zoom, a table that sorts and turns pages, copy
// buttons. Without it every number and a still picture of every chart remain.
(function () {
  "use strict";

  const PAGE_ROWS = 25;
  const LOGARITHMIC = { distr: 3, range: (_, low, high) => [low / 1.05, high * 1.05] };
  const byId = (id) => document.getElementById(id);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  document.querySelectorAll(".scripted").forEach((element) => { element.hidden = false; });

  function decimal(value, decimals) {
    return value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  }

  function label(value, percent) {
    if (value == null) return "–";
    if (percent) return decimal(value, 2) + " %";
    return decimal(value, Math.abs(value) < 1e6 ? 2 : 0);
  }

  function moment(seconds) {
    return seconds == null ? "–" : new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");
  }

  // Dates as the rest of the page writes them, as exact as the distance of the ticks allows.
  function dates(_, splits, __, ___, step) {
    const [from, to] = step >= 28 * 86400 ? [0, 7] : step >= 86400 ? [0, 10] : [5, 16];
    return splits.map((seconds) => moment(seconds).slice(from, to));
  }

  // Round values of a logarithmic axis: 1, 2, 3, 5 and 7 times each power of ten, or even steps
  // where the range is so small that there are too few of them.
  function roundSplits(plot, index, low, high) {
    const splits = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
      for (const factor of [1, 2, 3, 5, 7]) splits.push(factor * 10 ** power);
    }
    const inside = splits.filter((value) => value >= low && value <= high);
    if (inside.length >= 3) return inside;
    const step = 10 ** Math.floor(Math.log10((high - low) / 2));
    const even = [];
    for (let value = Math.ceil(low / step) * step; value <= high; value += step) even.push(value);
    return even.length > 8 ? even.filter((value) => Math.round(value / step) % 3 === 0) : even;
  }

  // Vertical lines where the test range of a fold begins.
  function drawMarks(marks) {
    return (plot) => {
      const { ctx, bbox } = plot;
      ctx.save();
      ctx.strokeStyle = css("--mark");
      ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.beginPath();
      for (const mark of marks) {
        if (mark < plot.scales.x.min || mark > plot.scales.x.max) continue;
        const x = Math.round(plot.valToPos(mark, "x", true)) + 0.5;
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
      }
      ctx.stroke();
      ctx.restore();
    };
  }

  function axis(size, values) {
    const font = "12px system-ui, sans-serif";
    const grid = { stroke: css("--grid"), width: 1 };
    return { stroke: css("--soft"), font, grid, ticks: { show: false }, size, values };
  }

  function options(chart, data, width, logarithmic) {
    const lines = chart.lines.map((line) => ({
      label: line.name,
      stroke: css("--" + line.class),
      width: 1.5,
      points: { show: false },
      value: (_, value) => label(value, chart.percent),
    }));
    const suffix = chart.percent ? " %" : "";
    const ticks = (_, splits) => splits.map((value) => value == null ? "" : value.toLocaleString("en-US") + suffix);
    const time = { ...axis(28, dates), space: 90 };
    const amount = axis(width < 600 ? 64 : 84, ticks);
    if (logarithmic) Object.assign(amount, { splits: roundSplits, filter: (_, splits) => splits });
    return {
      width,
      height: chart.height - 16,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      cursor: { sync: { key: "curve", scales: ["x", null] }, drag: { x: true, y: false } },
      scales: { x: { time: true }, y: logarithmic ? LOGARITHMIC : { distr: 1 } },
      series: [{ label: "time", value: (_, seconds) => moment(seconds) }, ...lines],
      axes: [time, amount],
      hooks: { drawAxes: [drawMarks(data.marks)] },
    };
  }

  function startCharts() {
    const data = JSON.parse(byId("report-data").textContent);
    const logScale = byId("log-scale");
    const positive = data.charts[0].lines.every((line) => line.values.every((value) => value > 0));
    if (!positive) logScale.disabled = true;
    let plots = [];

    function draw() {
      const range = plots.length ? { ...plots[0].plot.scales.x } : null;
      plots.forEach(({ plot }) => plot.destroy());
      plots = [];
      for (const chart of data.charts) {
        const place = byId("chart-" + chart.id);
        if (!chart.seconds.length) continue;
        place.hidden = false;
        place.parentElement.classList.add("drawn");
        const logarithmic = chart.id === "equity" && logScale.checked;
        const columns = [chart.seconds, ...chart.lines.map((line) => line.values)];
        const plot = new uPlot(options(chart, data, place.clientWidth, logarithmic), columns, place);
        if (range && range.min != null) plot.setScale("x", { min: range.min, max: range.max });
        plots.push({ plot, place, chart });
      }
    }

    function whole() {
      for (const { plot } of plots) {
        const times = plot.data[0];
        plot.setScale("x", { min: times[0], max: times[times.length - 1] });
      }
    }

    let width = 0;
    new ResizeObserver(() => {
      const now = byId("equity").clientWidth;
      if (now !== width && now > 0) { width = now; draw(); }
    }).observe(byId("equity"));
    logScale.addEventListener("change", draw);
    byId("zoom-reset").addEventListener("click", whole);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }

  // Numbers sort by value, everything else by text; an undefined cell always comes last.
  function sortKey(text) {
    if (text === "–" || text === "") return null;
    const number = Number(text.replace(/[,\u00a0%+]/g, "").replace("\u2212", "-"));
    return Number.isNaN(number) ? text : number;
  }

  function compare(a, b, direction) {
    if (a === null || b === null) return (a === null) - (b === null);
    return direction * (a < b ? -1 : a > b ? 1 : 0);
  }

  function startTrades() {
    const table = byId("trade-table");
    if (!table) return;
    const body = table.tBodies[0];
    const all = Array.from(body.rows);
    const heads = Array.from(table.tHead.rows[0].cells);
    let shown = all;
    let page = 0;

    function turn(to) {
      const last = Math.max(0, Math.ceil(shown.length / PAGE_ROWS) - 1);
      page = Math.min(Math.max(to, 0), last);
      const from = page * PAGE_ROWS;
      const rows = shown.slice(from, from + PAGE_ROWS);
      body.replaceChildren(...rows);
      const count = shown.length.toLocaleString("en-US");
      byId("trade-page").textContent = rows.length ? `${(from + 1).toLocaleString("en-US")} to ${(from + rows.length).toLocaleString("en-US")} of ${count}` : "none";
      byId("trade-previous").disabled = page === 0;
      byId("trade-next").disabled = page === last;
    }

    function sortBy(column) {
      const head = heads[column];
      const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      const keys = new Map(all.map((row) => [row, sortKey(row.cells[column].textContent)]));
      all.sort((a, b) => compare(keys.get(a), keys.get(b), direction));
      filter();
    }

    function filter() {
      const wanted = byId("trade-filter").value.trim().toLowerCase();
      shown = all.filter((row) => row.cells[1].textContent.toLowerCase().includes(wanted));
      turn(0);
    }

    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      button.addEventListener("click", () => sortBy(column));
      head.replaceChildren(button);
    });
    byId("trade-filter").addEventListener("input", filter);
    byId("trade-previous").addEventListener("click", () => turn(page - 1));
    byId("trade-next").addEventListener("click", () => turn(page + 1));
    table.parentElement.classList.add("paged");
    turn(0);
  }

  function select(element) {
    const range = document.createRange();
    range.selectNodeContents(element);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  }

  // A page opened from a file may not use the clipboard; then the text is selected instead.
  async function copy(button) {
    const source = button.dataset.copyFrom ? byId(button.dataset.copyFrom) : button.previousElementSibling;
    const text = button.dataset.copy ?? source.textContent;
    const before = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      select(source);
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = before; }, 1500);
  }

  document.querySelectorAll("button.copy").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  });

  startTrades();
  startCharts();
})();
