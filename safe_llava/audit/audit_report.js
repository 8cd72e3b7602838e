"use strict";

const facts = JSON.parse(document.getElementById("facts").textContent);
const STORE = JSON.stringify(["safe-llava audit", facts.model, facts.model_version, facts.policy_version, facts.source]);
const FORMAT = "safe-llava audit ticks";
const TICKS = ["risky", "harmless"];
const COLUMNS = ["key", "tick", "lists", "level", "type", "action", "source"];

const cards = [...document.querySelectorAll(".card")];
const listOf = (card) => card.closest("section").id;
const keysOf = (list) => cards.filter((card) => listOf(card) === list).map((card) => card.dataset.key);
let ticks = load();

function tell(text) {
  document.getElementById("message").textContent = text;
}

function load() {
  try {
    return new Map(JSON.parse(localStorage.getItem(STORE) ?? "[]"));
  } catch {
    tell("This browser keeps no ticks for this page: export them before you close it.");
    return new Map();
  }
}

function save() {
  try {
    localStorage.setItem(STORE, JSON.stringify([...ticks]));
  } catch {
    tell("This browser keeps no ticks for this page: export them before you close it.");
  }
  show();
}

// Wilson's score interval of 95 %. At both ends it is exact, where rounding would leave a trace.
function wilson(hits, total) {
  const z = 1.959963984540054;
  const centre = (hits + z * z / 2) / (total + z * z);
  const half = z / (total + z * z) * Math.sqrt(hits * (total - hits) / total + z * z / 4);
  return [hits === 0 ? 0 : centre - half, hits === total ? 1 : centre + half];
}

function estimate(list) {
  const keys = keysOf(list);
  const ticked = keys.filter((key) => ticks.has(key));
  const risky = ticked.filter((key) => ticks.get(key) === "risky").length;
  const interval = ticked.length ? wilson(risky, ticked.length) : null;
  const skipped = ticked.length ? keys.findLastIndex((key) => ticks.has(key)) + 1 - ticked.length : 0;
  return { sampled: keys.length, ticked: ticked.length, risky, share: interval && risky / ticked.length, interval, skipped };
}

function show() {
  for (const card of cards) {
    const tick = ticks.get(card.dataset.key);
    for (const name of TICKS) {
      card.classList.toggle(name, tick === name);
      card.querySelector(`[value=${name}]`).checked = tick === name;
    }
  }
  for (const list of ["flagged", "passed"]) showEstimate(list);
}

function showEstimate(list) {
  const { sampled, ticked, risky, share, interval, skipped } = estimate(list);
  const percent = (value) => `${(100 * value).toFixed(1)}%`;
  const rows = (value) => Math.round(value * facts.sizes[list]).toLocaleString("en-US");
  const write = (name, text) => {
    for (const element of document.querySelectorAll(`[data-estimate="${list}"] .${name}`)) element.textContent = text;
  };
  write("share", interval ? `${percent(share)} (${percent(interval[0])} to ${percent(interval[1])})` : "not known yet");
  write("ticked", `${ticked} of ${sampled} ticked, ${risky} of them risky`);
  write("rows", interval ? `Of all ${rows(1)} ${list} rows, about ${rows(interval[0])} to ${rows(interval[1])} are risky.` : "");
  write("warning", skipped
    ? `${skipped} left out before the last ticked one. Tick in the given order: a choice of your own skews the estimate.`
    : "");
}

function describe(key) {
  const ofKey = cards.filter((card) => card.dataset.key === key);
  const { level = "", type = "", action = "" } = ofKey[0]?.dataset ?? {};
  return { key, tick: ticks.get(key), lists: ofKey.map(listOf), level, type, action };
}

function download(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function exportJson() {
  const { sizes, ...origin } = facts;
  const estimates = { precision: estimate("flagged"), miss_rate: estimate("passed") };
  const samples = [...ticks.keys()].map(describe);
  const content = { format: FORMAT, ...origin, exported_at: new Date().toISOString(), sizes, estimates, ticks: samples };
  download("audit-ticks.json", "application/json", JSON.stringify(content, null, 2) + "\n");
}

// A spreadsheet would run a cell that begins so; behind an apostrophe it is a text.
const asText = (value) => /^'*[=+\-@\t\r\n]/.test(value) ? `'${value}` : value;
const asWritten = (text) => /^'+[=+\-@\t\r\n]/.test(text) ? text.slice(1) : text;

function exportCsv() {
  const quote = (value) => `"${asText(String(value)).replaceAll('"', '""')}"`;
  const lines = [...ticks.keys()].map((key) => {
    const sample = { ...describe(key), source: facts.source };
    return COLUMNS.map((name) => quote(name === "lists" ? sample.lists.join(" ") : sample[name])).join(",");
  });
  download("audit-ticks.csv", "text/csv", [COLUMNS.join(","), ...lines, ""].join("\r\n"));
}

function parseCsv(text) {
  const rows = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    rows.at(-1).push(quoted?.replaceAll('""', '"') ?? plain);
    if (end !== ",") rows.push([]);
  }
  const [names, ...lines] = rows;
  return lines.filter((line) => line.length === names.length)
    .map((line) => Object.fromEntries(names.map((name, index) => [name, asWritten(line[index])])));
}

function parseTicks(text) {
  if (!text.trimStart().startsWith("{")) return parseCsv(text);
  const content = JSON.parse(text);
  return content.ticks.map((sample) => ({ ...sample, source: content.source }));
}

async function importTicks(file) {
  let samples = [];
  try {
    samples = parseTicks(await file.text());
  } catch {
    // A file in another form has no samples either.
  }
  if (!samples.length || !samples.every(({ key, tick }) => typeof key === "string" && TICKS.includes(tick))) {
    return tell(`${file.name} holds no ticks. Choose a JSON or CSV file that was exported from such a page.`);
  }
  const foreign = samples.find(({ source }) => source !== facts.source);
  if (foreign) {
    return tell(`${file.name} was exported from the audit of ${foreign.source}, and this is ${facts.source}: nothing was imported.`);
  }
  const contrary = samples.filter(({ key, tick }) => ticks.has(key) && ticks.get(key) !== tick).map(({ key }) => key);
  const added = samples.filter(({ key }) => !ticks.has(key));
  for (const { key, tick } of added) ticks.set(key, tick);
  tell(`${added.length} of ${samples.length} ticks in ${file.name} were new.`
    + (contrary.length ? ` ${contrary.length} differ from yours, which stay: ${contrary.join(", ")}.` : ""));
  save();
}

function blurAll() {
  for (const image of document.querySelectorAll(".image")) image.setAttribute("aria-pressed", "false");
}

document.addEventListener("click", (event) => {
  const image = event.target.closest(".image");
  image?.setAttribute("aria-pressed", String(image.getAttribute("aria-pressed") === "false"));
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") blurAll();
});
document.addEventListener("change", ({ target }) => {
  const key = target.closest(".card")?.dataset.key;
  if (key === undefined) return;
  if (target.checked) ticks.set(key, target.value);
  else ticks.delete(key);
  save();
});
document.getElementById("export-json").addEventListener("click", exportJson);
document.getElementById("export-csv").addEventListener("click", exportCsv);
document.getElementById("import").addEventListener("change", async ({ target }) => {
  await importTicks(target.files[0]);
  target.value = "";
});
document.getElementById("blur-all").addEventListener("click", blurAll);
document.getElementById("remove-all").addEventListener("click", () => {
  if (!confirm(`Remove all ${ticks.size} ticks? What was not exported is lost.`)) return;
  ticks = new Map();
  save();
});
// Another tab may show the same page.
addEventListener("storage", (event) => {
  if (event.key !== STORE) return;
  ticks = load();
  show();
});
show();
