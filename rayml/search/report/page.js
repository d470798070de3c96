"use strict";
(() => {
  const read = (id) => document.getElementById(id).textContent;
  const figures = JSON.parse(read("figures"));
  const trials = JSON.parse(read("trials"));
  const states = {
    COMPLETE: "finished", PRUNED: "pruned", RUNNING: "in progress", FAIL: "failed",
    INFEASIBLE: "finished, breaks a constraint",
  };

  function trouble(error) {
    const shown = document.getElementById("trouble");
    shown.textContent = `The figures cannot be drawn: ${error}`;
    shown.hidden = false;
  }

  async function loadPlotly() {
    if (typeof DecompressionStream === "undefined") {
      throw new Error("they need a browser of 2023 or later.");
    }
    const packed = Uint8Array.from(atob(read("plotly")), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    if (typeof Plotly === "undefined") throw new Error("the library did not load.");
  }

  // Colours are names of the style sheet's variables, so that they follow light and dark.
  function colored(node, palette) {
    if (node === null || typeof node !== "object") return node;
    if (Array.isArray(node)) {
      // Coordinates need no look; there may be many.
      return typeof node[0] === "object" ? node.map((each) => colored(each, palette)) : node;
    }
    const out = {};
    for (const [key, value] of Object.entries(node)) {
      if ((key === "color" || key === "bgcolor") && typeof value === "string" && value.startsWith("@")) {
        out[key] = palette.getPropertyValue(`--${value.slice(1)}`).trim();
      } else {
        out[key] = colored(value, palette);
      }
    }
    return out;
  }

  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  function hover(number) {
    const facts = trials[number];
    if (!facts) return "";
    const lines = facts.slice(0, 14).map(([name, value]) => {
      const text = name === "state" ? states[value] : value;
      return `${escaped(name)}: ${escaped(text.length > 60 ? `${text.slice(0, 59)}…` : text)}`;
    });
    return [`<b>trial ${number}</b>`, ...lines].join("<br>");
  }

  function traces(figure, palette) {
    return figure.data.map((trace) => {
      const out = colored(trace, palette);
      if (trace.customdata && !trace.hoverinfo) {
        out.hovertext = trace.customdata.map(hover);
        out.hoverinfo = "text";
      }
      return out;
    });
  }

  function layout(figure, palette) {
    const color = (name) => palette.getPropertyValue(`--${name}`).trim();
    const out = colored(figure.layout, palette);
    const narrow = window.innerWidth < 600;
    for (const key of Object.keys(out)) {
      if (/^[xy]axis/.test(key)) {
        out[key] = { gridcolor: color("grid"), linecolor: color("edge"), zerolinecolor: color("grid"), ...out[key] };
      }
    }
    return {
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: color("text") },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: narrow ? 44 : 60, r: narrow ? 10 : 20, t: 14, b: 44 },
      hoverlabel: {
        align: "left", bgcolor: color("panel"), bordercolor: color("edge"),
        font: { color: color("text"), family: getComputedStyle(document.body).fontFamily },
      },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: color("quiet"), activecolor: color("text") },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", itemsizing: "constant" },
      hovermode: "closest",
      ...out,
    };
  }

  async function draw() {
    const palette = getComputedStyle(document.documentElement);
    for (const place of document.querySelectorAll("[data-figure]")) {
      const figure = figures[place.dataset.figure];
      await Plotly.react(place, traces(figure, palette), layout(figure, palette), {
        responsive: true, displaylogo: false, displayModeBar: "hover",
        // Its default is a button that sends the chart to its makers.
        showSendToCloud: false, plotlyServerURL: "",
        modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
      });
      if (!place.dataset.drawn) {
        place.on("plotly_click", (event) => show(event.points[0].customdata));
        place.dataset.drawn = "yes";
      }
    }
    document.documentElement.dataset.drawn = "yes";
  }

  function show(number) {
    const facts = trials[number];
    if (!facts) return;
    const card = document.getElementById("trial");
    card.querySelector("h3").textContent = `Trial ${number}`;
    card.querySelector("dl").replaceChildren(...facts.flatMap(([name, value]) => {
      const term = document.createElement("dt");
      const text = document.createElement("dd");
      term.textContent = name;
      text.textContent = name === "state" ? states[value] : value;
      return [term, text];
    }));
    card.hidden = false;
  }

  function print(on) {
    document.documentElement.classList.toggle("print", on);
    draw();
  }

  const close = () => { document.getElementById("trial").hidden = true; };
  document.getElementById("close").addEventListener("click", close);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-trial]");
    if (button) show(button.dataset.trial);
  });
  loadPlotly().then(draw).then(() => {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
    addEventListener("beforeprint", () => print(true));
    addEventListener("afterprint", () => print(false));
  }).catch(trouble);
})();
