"use strict";
(() => {
  const SHOWN = 10;
  const SHOWN_ODD = 4;
  const KEY = "rayml-key";
  const $ = (id) => document.getElementById(id);
  let model = null;
  let fields = [];
  let asked = 0;

  // Every text of the model enters the page as text, never as HTML.
  function make(tag, text, attributes = {}) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  const number = (value) => Number(value.toPrecision(5)).toLocaleString("en", { maximumSignificantDigits: 5 });
  const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;
  const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  // Without the last digits of a double, which are noise of an average.
  const plain = (value) => Number(value.toPrecision(12));
  const isClass = () => model.target.classes.length > 0;
  // The first field of an answer without classes is its number.
  const numberOf = (answer) => Object.values(answer)[0];

  function trouble(message) {
    $("trouble").textContent = message;
    $("trouble").hidden = !message;
  }

  class Refused extends Error {}

  async function ask(path, body) {
    // Without the browser's own credentials: it would ask for a name and password by itself.
    const options = { credentials: "omit", headers: {} };
    const key = sessionStorage.getItem(KEY);
    if (key) options.headers["x-api-key"] = key;
    if (body !== undefined) {
      options.method = "POST";
      options.headers["content-type"] = "application/json";
      options.body = JSON.stringify(body);
    }
    const response = await fetch(path, options);
    const content = await response.json().catch(() => ({}));
    if (response.status === 401 || response.status === 403) {
      $("key").hidden = false;
      $("token").focus();
      throw new Refused(key ? "The endpoint does not accept this key." : "");
    }
    if (!response.ok) throw new Error(content.error || `HTTP ${response.status}`);
    return [content, response.headers];
  }

  // ---- the form

  const WITHHELD = { private: "private", identifier: "an identifier", many: "many values" };

  function hint(column) {
    if (column.minimum !== null && column.maximum !== null) {
      return `${number(column.minimum)} to ${number(column.maximum)} in training`;
    }
    if (column.withheld) return column.kind === "timestamp" ? "in UTC" : WITHHELD[column.withheld];
    if (column.kind === "categorical") return `${column.categories.length} known`;
    return column.kind === "timestamp" ? "in UTC" : "";
  }

  function frame(column, index, control, tag = "div") {
    const box = make(tag, undefined, { class: "field" });
    const id = `field-${index}`;
    const note = make("p", hint(column), { class: "hint", id: `${id}-hint` });
    if (tag === "fieldset") {
      box.append(make("legend", column.name), control, note);
    } else {
      control.id = id;
      control.setAttribute("aria-describedby", note.id);
      box.append(make("label", column.name, { for: id }), control, note);
    }
    return [box, note];
  }

  function numberField(column, index) {
    const input = make("input", undefined, { type: "number", step: "any", placeholder: "missing", inputmode: "decimal" });
    const [box, note] = frame(column, index, input);
    const check = () => {
      const value = input.valueAsNumber;
      const outside = column.minimum !== null && (value < column.minimum || value > column.maximum);
      note.textContent = outside ? `outside ${hint(column)}` : hint(column);
      note.classList.toggle("outside", outside);
    };
    input.addEventListener("input", check);
    const set = (value) => { input.value = value === null ? "" : plain(value); check(); };
    const get = () => {
      if (input.validity.badInput) throw new Error(`${column.name}: this is no number`);
      return input.value === "" ? null : input.valueAsNumber;
    };
    return { column, box, get, set };
  }

  function categoryField(column, index) {
    if (column.withheld || column.categories.length > 200) return textField(column, index);
    const select = make("select");
    // The place in the list is the value, so that no category can be mistaken for a missing one.
    select.append(make("option", "missing", { value: "" }));
    column.categories.forEach((each, place) => select.append(make("option", each, { value: place })));
    const [box] = frame(column, index, select);
    const set = (value) => { select.value = value === null ? "" : column.categories.indexOf(value); };
    const get = () => (select.value === "" ? null : column.categories[Number(select.value)]);
    return { column, box, get, set };
  }

  function textField(column, index) {
    const list = make("datalist", undefined, { id: `list-${index}` });
    column.categories.forEach((each) => list.append(make("option", undefined, { value: each })));
    const input = make("input", undefined, { type: "text", list: list.id, placeholder: "missing" });
    const [box] = frame(column, index, input);
    box.append(list);
    return { column, box, get: () => input.value || null, set: (value) => { input.value = value ?? ""; } };
  }

  function booleanField(column, index) {
    const choice = make("div", undefined, { class: "choice" });
    const radios = [[true, "yes"], [false, "no"], [null, "missing"]].map(([value, name]) => {
      const label = make("label", name);
      const radio = make("input", undefined, { type: "radio", name: `field-${index}` });
      label.prepend(radio);
      choice.append(label);
      return [value, radio];
    });
    const [box] = frame(column, index, choice, "fieldset");
    const get = () => radios.find(([, radio]) => radio.checked)[0];
    const set = (value) => { radios.find(([each]) => each === value)[1].checked = true; };
    return { column, box, get, set };
  }

  function timeField(column, index) {
    const input = make("input", undefined, { type: "datetime-local", step: "1" });
    const [box] = frame(column, index, input);
    const get = () => {
      if (input.validity.badInput) throw new Error(`${column.name}: this is no time`);
      return input.value ? `${input.value}Z` : null;
    };
    const set = (value) => { input.value = value ? new Date(value).toISOString().slice(0, 19) : ""; };
    return { column, box, get, set };
  }

  function proseField(column, index) {
    const input = make("textarea", undefined, { rows: 4, placeholder: "missing" });
    const [box] = frame(column, index, input);
    return { column, box, get: () => input.value || null, set: (value) => { input.value = value ?? ""; } };
  }

  const KINDS = {
    numeric: numberField, categorical: categoryField, boolean: booleanField, timestamp: timeField, text: proseField,
  };

  // ---- the answer

  function showClasses(answer) {
    const entries = Object.entries(answer.probabilities ?? {});
    entries.sort((a, b) => b[1] - a[1]);
    $("classes").replaceChildren(...entries.slice(0, 6).map(([name, share]) => {
      const item = make("li");
      const track = make("div", undefined, { class: "track", "aria-hidden": "true" });
      const fill = make("i");
      fill.style.width = `${100 * share}%`;
      track.append(fill);
      item.append(make("span", name), make("b", percent(share)), track);
      return item;
    }));
  }

  function unlike(warnings) {
    const words = { unknown: "unknown", missing: "missing", range: "out of range" };
    const odd = Object.entries(warnings ?? {}).map(([name, kind]) => `${name} (${words[kind]})`);
    if (!odd.length) return "";
    const more = odd.length > SHOWN_ODD ? ` and ${odd.length - SHOWN_ODD} more` : "";
    return ` · unlike the training data: ${odd.slice(0, SHOWN_ODD).join(", ")}${more}`;
  }

  function showPrediction(answer, version) {
    $("headline").textContent = isClass() ? text(answer.label) : number(numberOf(answer));
    const spread = answer.spread === undefined ? "" :
      ` ± ${isClass() ? percent(answer.spread) : number(answer.spread)} over the ensemble`;
    const sure = isClass() ? percent(answer.probability) : model.target.name;
    $("subline").textContent = `${sure}${spread} · version ${version}${unlike(answer.warnings)}`;
    showClasses(answer);
  }

  function amount(share) {
    const sign = share > 0 ? "+" : share < 0 ? "−" : "";
    const size = Math.abs(share);
    return sign + (isClass() ? percent(size, size && size < 0.01 ? 2 : 1) : number(size));
  }

  function bar(name, share, value, most) {
    const row = make("tr");
    const head = make("th", name, { scope: "row" });
    head.append(make("small", value === null ? "missing" : text(value)));
    const cell = make("td");
    const track = make("div", undefined, { class: share < 0 ? "bar down" : "bar", "aria-hidden": "true" });
    const fill = make("i");
    fill.style.width = `${most ? (100 * Math.abs(share)) / most : 0}%`;
    track.append(fill);
    cell.append(track, make("span", amount(share), { class: "amount" }));
    row.append(head, cell);
    return row;
  }

  function showBars(shares, row, all) {
    const most = Math.max(...shares.map(([, share]) => Math.abs(share)));
    const shown = all ? shares : shares.slice(0, SHOWN);
    $("bars").tBodies[0].replaceChildren(
      ...shown.map(([name, share]) => bar(name, share, row.get(name), most)));
    $("more").hidden = shares.length <= SHOWN;
    $("more").textContent = all ? "Show fewer" : `Show all ${shares.length} columns`;
    $("more").onclick = () => showBars(shares, row, !all);
  }

  function showExplanation(found, row) {
    const say = (value) => (isClass() ? percent(value) : number(value));
    const what = isClass() ? `The probability of ${text(found.label)}` : `The value of ${model.target.name}`;
    const doubt = found.converged ? "" : ` The shares miss the difference by ${amount(found.delta)}.`;
    $("summary").textContent =
      `${what} is ${say(found.baseline)} for a typical row and ${say(found.prediction)} for this one. ` +
      `The columns add up to the difference.${doubt}`;
    const shares = Object.entries(found.attributions);
    shares.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
    showBars(shares, row, false);
    $("bars").hidden = false;
  }

  function hideExplanation(reason) {
    $("summary").textContent = reason;
    $("bars").hidden = $("more").hidden = true;
  }

  async function predict() {
    const turn = ++asked;
    trouble("");
    $("result").setAttribute("aria-busy", "true");
    $("predict").disabled = true;
    try {
      const row = new Map(fields.map((field) => [field.column.name, field.get()]));
      // From entries: a column may be called __proto__.
      const body = Object.fromEntries(row);
      const chosen = $("label").value;
      const options = chosen === "" ? {} : { label: model.target.classes[Number(chosen)] };
      const explaining = ask("explain", { rows: [body], ...options });
      explaining.catch(() => {});
      const [{ predictions: [answer] }, headers] = await ask("predict", body);
      if (turn !== asked) return;
      showPrediction(answer, headers.get("x-model-version"));
      hideExplanation("…");
      $("waiting").hidden = true;
      $("answer").hidden = false;
      try {
        const [{ explanations: [found] }] = await explaining;
        if (turn === asked) showExplanation(found, row);
      } catch (error) {
        if (turn === asked) hideExplanation(`It is not explained: ${error.message}`);
      }
      if (innerWidth <= 860) $("result").scrollIntoView({ behavior: "smooth", block: "start" });
    } catch (error) {
      trouble(error.message);
    } finally {
      if (turn === asked) {
        $("result").setAttribute("aria-busy", "false");
        $("predict").disabled = false;
      }
    }
  }

  // ---- the model card

  function showCards() {
    const cards = [["version", model.version], ["made", model.created.slice(0, 10)]];
    for (const split of ["test", "validation"]) {
      const value = (model.metrics[split] ?? {})[model.metric];
      if (typeof value === "number") cards.unshift([`${model.metric}, ${split}`, number(value)]);
    }
    cards.push(["columns", String(model.inputs.length)]);
    if (model.ensemble) cards.push(["models", String(model.ensemble)]);
    $("cards").replaceChildren(...cards.map(([name, value]) => {
      const card = make("div");
      card.append(make("dt", name), make("dd", value));
      return card;
    }));
  }

  function line(cells, tag = "td") {
    const row = make("tr");
    row.append(...cells.map((cell) => make(tag, cell, tag === "th" ? { scope: "col" } : {})));
    return row;
  }

  function seen(column) {
    if (column.withheld && column.minimum === null) return hint(column);
    if (column.kind !== "categorical") return column.kind === "numeric" ? hint(column).replace(" in training", "") : "";
    const more = column.categories.length - 12;
    return column.categories.slice(0, 12).join(", ") + (more > 0 ? ` and ${more} more` : "");
  }

  function showCard() {
    const splits = Object.keys(model.metrics);
    const names = [...new Set(splits.flatMap((split) => Object.keys(model.metrics[split])))];
    $("metrics").tHead.replaceChildren(line(["metric", ...splits], "th"));
    $("metrics").tBodies[0].replaceChildren(...names.map((name) => line([name, ...splits.map((split) => {
      const value = model.metrics[split][name];
      return typeof value === "number" ? number(value) : "";
    })])));
    const found = model.confirmed;
    $("confirmed").textContent = found ? `Over ${found.seeds} seeds its ${model.metric} on validation is ` +
      `${number(found.mean)} (95 % interval ${number(found.low)} to ${number(found.high)}).` : "";
    $("columns").tBodies[0].replaceChildren(
      ...model.inputs.map((column) => line([column.name, column.kind, seen(column)])));
    const facts = [...Object.entries(model.lineage), ["digest", model.digest]];
    $("lineage").replaceChildren(...facts.flatMap(([name, value]) =>
      [make("dt", name.replaceAll("_", " ")), make("dd", text(value))]));
  }

  function showModel() {
    const { name, task, classes } = model.target;
    document.title = `${model.name} ${model.version} · rayml`;
    $("kicker").textContent = `model · version ${model.version}`;
    $("name").textContent = model.name;
    const listed = classes.slice(0, 8).map(text).join(", ") + (classes.length > 8 ? ", …" : "");
    $("about").textContent = `Predicts ${name} (${task}${listed && `: ${listed}`})` +
      (model.ensemble ? `, the mean of ${model.ensemble} models.` : ".");
    $("rayml").textContent = model.rayml;
    showCards();
    fields = model.inputs.map((column, index) => KINDS[column.kind](column, index));
    $("fields").replaceChildren(...fields.map((field) => field.box));
    fill(true);
    $("label").replaceChildren(
      make("option", "the predicted class", { value: "" }),
      ...classes.map((each, place) => make("option", text(each), { value: place })));
    $("label-field").hidden = !classes.length;
    showCard();
    $("main").hidden = $("card").hidden = false;
  }

  function fill(typical) {
    for (const field of fields) field.set(typical ? field.column.example : null);
  }

  async function load() {
    try {
      [model] = await ask("metadata");
      $("key").hidden = true;
      trouble("");
      showModel();
      document.documentElement.dataset.ready = "yes";
    } catch (error) {
      trouble(error instanceof Refused || model ? error.message : `The model cannot be shown: ${error.message}`);
    }
  }

  $("ask").addEventListener("submit", (event) => { event.preventDefault(); predict(); });
  $("typical").addEventListener("click", () => fill(true));
  $("clear").addEventListener("click", () => fill(false));
  $("key").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEY, $("token").value.trim());
    load();
  });
  load();
})();
