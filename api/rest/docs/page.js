// Draws the description at /openapi.json. Text from it only ever becomes text, never markup.
"use strict";

const METHODS = ["get", "post", "put", "delete"];
let doc;

function el(name, attrs, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attrs || {})) node.setAttribute(key, value);
  for (const child of children.flat()) if (child !== null && child !== undefined && child !== "") node.append(child);
  return node;
}

// prose turns `words` of a text into code elements.
function prose(text) {
  return (text || "").split("`").map((part, i) => (i % 2 ? el("code", null, part) : part));
}

function resolve(schema) {
  const seen = new Set();
  while (schema && schema.$ref && !seen.has(schema.$ref)) {
    seen.add(schema.$ref);
    schema = doc.components.schemas[schema.$ref.split("/").pop()];
  }
  return schema || {};
}

function typeName(schema) {
  const s = resolve(schema);
  const type = [].concat(s.type || "any").filter((t) => t !== "null")[0];
  if (type === "array") return "list of " + typeName(s.items);
  if (type === "object" && s.additionalProperties && !s.properties) return "map of " + typeName(s.additionalProperties);
  if (schema && schema.$ref) return schema.$ref.split("/").pop();
  return s.format && s.format !== "int64" ? type + " (" + s.format + ")" : type;
}

function limits(schema) {
  const s = resolve(schema);
  const out = [];
  if (s.enum) out.push("one of " + s.enum.filter((v) => v !== "").join(", "));
  if (s.minimum !== undefined) out.push("from " + s.minimum);
  if (s.maximum !== undefined) out.push("to " + s.maximum);
  if (s.maxLength !== undefined) out.push("at most " + s.maxLength + " characters");
  if (s.maxItems !== undefined) out.push("at most " + s.maxItems);
  if (s.pattern) out.push("matches " + s.pattern);
  return out.join("; ");
}

// fields is the tree of a schema's properties; deep is how much of it is open.
function fields(schema, path) {
  let s = resolve(schema);
  while ([].concat(s.type).includes("array")) s = resolve(s.items);
  if (!s.properties && s.additionalProperties && s.additionalProperties.$ref) s = resolve(s.additionalProperties);
  if (!s.properties || path.includes(s)) return null;
  const required = new Set(s.required || []);
  return el("ul", { class: "fields" }, Object.entries(s.properties).map(([name, p]) => field(name, p, required.has(name), path.concat(s))));
}

function field(name, schema, required, path) {
  const head = [el("code", null, name), " ", el("span", { class: "type" }, typeName(schema))];
  if (required) head.push(" ", el("span", { class: "need" }, "required"));
  const about = [schema.description || resolve(schema).description, limits(schema)].filter(Boolean).join("; ");
  if (about) head.push(" ", el("span", { class: "about" }, about));
  const inner = fields(schema, path);
  if (!inner) return el("li", null, head);
  return el("li", null, el("details", null, el("summary", null, head), inner));
}

// sampleOf makes an example of a schema where the description has none.
function sampleOf(schema, path) {
  const s = resolve(schema);
  if (s.examples && s.examples.length) return s.examples[0];
  if (s.enum) return s.enum.find((v) => v !== "");
  const type = [].concat(s.type || "object").filter((t) => t !== "null")[0];
  if (type === "array") return path.includes(s) ? [] : [sampleOf(s.items, path.concat(s))];
  if (type === "integer" || type === "number") return s.minimum || 0;
  if (type === "boolean") return false;
  if (type === "string") return s.format === "date-time" ? "2026-01-02T03:04:05Z" : "...";
  const out = {};
  if (path.includes(s)) return out;
  for (const [name, p] of Object.entries(s.properties || {})) out[name] = sampleOf(p, path.concat(s));
  return out;
}

function quote(text) { return "'" + text.replaceAll("'", "'\\''") + "'"; }

function exampleOf(param) {
  const s = resolve(param.schema);
  if (s.examples && s.examples.length) return String(s.examples[0]);
  return s.enum ? String(s.enum[0]) : param.name.toUpperCase();
}

function curl(method, path, op) {
  const params = op.parameters || [];
  let url = path;
  for (const p of params.filter((p) => p.in === "path")) url = url.replace("{" + p.name + "}", exampleOf(p));
  const query = params.filter((p) => p.in === "query" && p.required).map((p) => p.name + "=" + exampleOf(p)).join("&");
  const parts = ["curl" + (method === "get" ? "" : " -X " + method.toUpperCase()) + " " + location.origin + url + (query ? "?" + query : "")];
  if (op.security) parts.push('-H "Authorization: Bearer $NUAGE_TOKEN"');
  const content = op.requestBody && Object.entries(op.requestBody.content)[0];
  if (content && content[0] === "application/json") {
    parts.push("-H 'Content-Type: application/json'");
    parts.push("-d " + quote(JSON.stringify(content[1].example || sampleOf(content[1].schema, []))));
  } else if (content) {
    parts.push("-H 'Content-Type: " + content[0] + "'", "--data-binary @FILE");
  }
  return parts.join(" \\\n  ");
}

function sample(text) {
  const button = el("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return el("div", { class: "sample" }, el("pre", null, text), navigator.clipboard ? button : null);
}

function parameters(list) {
  if (!list || !list.length) return [];
  const rows = list.map((p) => el("tr", null,
    el("td", null, el("code", null, p.name), p.required ? el("span", { class: "need" }, " required") : null),
    el("td", { class: "type" }, p.in),
    el("td", { class: "type" }, typeName(p.schema)),
    el("td", null, prose([p.description, limits(p.schema)].filter(Boolean).join("; ")))));
  return [el("h4", null, "Parameters"), el("table", null,
    el("thead", null, el("tr", null, ["Name", "In", "Type", "Meaning"].map((h) => el("th", { scope: "col" }, h)))), el("tbody", null, rows))];
}

function bodies(title, content, about) {
  return Object.entries(content || {}).flatMap(([type, media]) => [
    el("h4", null, title), el("p", { class: "about" }, el("code", null, type), " ", about || typeName(media.schema)), fields(media.schema, []),
    media.example ? sample(JSON.stringify(media.example, null, 2)) : null,
  ]);
}

function responses(list) {
  return Object.entries(list || {}).filter(([code]) => code !== "default").flatMap(([code, r]) => {
    const [type, media] = Object.entries(r.content || {})[0] || [];
    const inner = media && fields(media.schema, []);
    const head = [el("code", null, code), " ", r.description || "", type ? el("span", { class: "type" }, " " + type + " " + typeName(media.schema)) : null];
    const headers = Object.entries(r.headers || {}).map(([name, h]) => el("li", null, el("code", null, name), " ", el("span", { class: "about" }, h.description || resolve(h.schema).description || "")));
    const more = [inner, headers.length ? el("ul", { class: "fields" }, headers) : null].filter(Boolean);
    return more.length ? el("details", null, el("summary", null, head), more) : el("div", null, head);
  });
}

function operation(method, path, op) {
  const right = op.security ? null : el("span", { class: "type" }, "no token needed");
  return el("article", { id: op.operationId },
    el("h3", null, op.summary),
    el("div", { class: "line" }, el("span", { class: "method " + method }, method.toUpperCase()), el("span", { class: "path" }, path), right),
    op.description ? el("p", null, prose(op.description)) : null,
    parameters(op.parameters),
    op.requestBody ? bodies("Request", op.requestBody.content, op.requestBody.description) : [],
    el("h4", null, "Answers"), responses(op.responses),
    el("h4", null, "Example"), sample(curl(method, path, op)));
}

function operations() {
  return Object.entries(doc.paths).flatMap(([path, item]) =>
    METHODS.filter((m) => item[m]).map((method) => ({ path, method, op: item[method], tag: (item[method].tags || ["other"])[0] })));
}

function draw() {
  const main = document.getElementById("main"), index = document.getElementById("index");
  document.getElementById("version").textContent = doc.info.version;
  main.replaceChildren(el("header", null, el("h2", null, doc.info.title + " API"), el("p", null, prose(doc.info.description)),
    el("p", null, "The description itself: ", el("a", { href: "/openapi.json" }, "/openapi.json"))));
  const all = operations();
  for (const tag of doc.tags) {
    const mine = all.filter((o) => o.tag === tag.name);
    if (!mine.length) continue;
    main.append(el("section", { "aria-label": tag.name }, el("h2", null, tag.name.replaceAll("-", " ")), el("p", null, tag.description),
      mine.map((o) => operation(o.method, o.path, o.op))));
    index.append(el("div", { class: "group" }, el("h2", null, tag.name), el("ul", null, mine.map((o) =>
      el("li", { "data-text": (o.op.summary + " " + o.path + " " + o.method).toLowerCase() }, el("a", { href: "#" + o.op.operationId },
        el("span", { class: "method " + o.method }, o.method.toUpperCase()), o.op.summary))))));
  }
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

function filter(words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  for (const group of document.querySelectorAll("#index .group")) {
    let shown = 0;
    for (const item of group.querySelectorAll("li")) {
      item.hidden = !wanted.every((w) => item.dataset.text.includes(w));
      if (!item.hidden) shown++;
    }
    group.hidden = shown === 0;
  }
}

async function start() {
  const state = document.getElementById("state");
  try {
    const answer = await fetch("/openapi.json");
    if (!answer.ok) throw new Error("HTTP " + answer.status);
    doc = await answer.json();
    draw();
  } catch (err) {
    state.textContent = "The description could not be drawn: " + err.message;
  }
}

document.getElementById("filter").addEventListener("input", (event) => filter(event.target.value));
start();
