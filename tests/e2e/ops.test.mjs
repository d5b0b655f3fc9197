// Dashboard, alerts and the book's table name metrics: exactly those that the program has.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { Admin } from "./lib/admin.mjs";
import { request } from "./lib/http.mjs";

const read = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

/** What Prometheus itself knows of each target. */
const PROMETHEUS = ["up"];
const WORDS = new Set(["by", "without", "on", "ignoring", "and", "or", "unless", "bool", "offset", "group_left", "group_right"]);

/** The metrics that an expression asks for, each with its matchers of labels: [name, [[label, operator, value], …]]. */
function metricsOf(expression) {
  const text = expression
    .replace(/\b(by|without|on|ignoring)\s*\([^)]*\)/g, " ")
    .replace(/\[[^\]]*\]/g, " ")
    .replace(/\$\w+/g, " ");
  const found = [];
  for (const [, name, matchers = ""] of text.matchAll(/([a-zA-Z_:][\w:]*)(?!\w|\s*\()(?:\{([^}]*)\})?|"[^"]*"/g)) {
    if (name === undefined || WORDS.has(name)) continue;
    found.push([name, [...matchers.matchAll(/(\w+)(=~|!~|!=|=)"([^"]*)"/g)].map(([, ...parts]) => parts)]);
  }
  return found;
}

/** The samples of a text of Prometheus: [{name, labels}, …]. */
function samplesOf(text) {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return lines.map((line) => {
    const [, name, labels = ""] = /^(\w+)(?:\{(.*)\})? /.exec(line);
    return { name, labels: Object.fromEntries([...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key, value])) };
  });
}

it("metrics are found in expressions", () => {
  assert.deepEqual(metricsOf('sum by (a, le) (rate(x_total{a="b",c=~"d|e"}[5m])) / on (i) y > 1'), [
    ["x_total", [["a", "=", "b"], ["c", "=~", "d|e"]]],
    ["y", []],
  ]);
  assert.deepEqual(metricsOf('histogram_quantile(0.99, z_bucket{job=~"$job"})'), [["z_bucket", [["job", "=~", " "]]]]);
});

let server;
let families;
let samples;

before(async () => {
  const folder = await Admin.start();
  mkdirSync(folder.file("uploads"));
  // With each kind of source, and with the broker that recovery brings.
  const args = ["process:", `uploads:${folder.file("uploads")}`].flatMap((source) => ["--metrics", source]);
  server = await Admin.start({ args, env: { RECOVERY: "2m" } });
  // So that there is an answer with a code.
  await request(`${server.url}/api/health`);
  const { status, body } = await request(`${server.url}/metrics`);
  assert.equal(status, 200);
  families = new Map([...body.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, kind]) => [name, kind]));
  samples = samplesOf(body);
  await folder.stop();
});
after(() => server?.stop());

/** Labels that Prometheus adds to each sample. */
const TARGET = new Set(["job", "instance"]);

function assertExists(expression) {
  const metrics = metricsOf(expression);
  assert.notEqual(metrics.length, 0, expression);
  for (const [name, matchers] of metrics) {
    if (PROMETHEUS.includes(name)) continue;
    const ofName = samples.filter((sample) => sample.name === name);
    assert.notEqual(ofName.length, 0, `${name} does not exist: ${expression}`);
    for (const [label, operator, value] of matchers) {
      if (TARGET.has(label)) continue;
      assert.ok(label in ofName[0].labels, `${name} has no label ${label}`);
      // Codes come with the answers that have them; of the others each value is there from the beginning.
      if (label === "code") continue;
      const values = operator.endsWith("~") ? value.split("|") : [value];
      for (const one of values) assert.ok(ofName.some((sample) => sample.labels[label] === one), `${name} has no ${label} ${one}`);
    }
  }
}

describe("ops/grafana-dashboard.json", () => {
  const dashboard = JSON.parse(read("ops/grafana-dashboard.json"));
  for (const { title, targets = [] } of dashboard.panels) {
    if (targets.length > 0) it(`shows what exists: ${title}`, () => targets.forEach(({ expr }) => assertExists(expr)));
  }

  it("has variables of what exists, and panels with names of their own", () => {
    const queries = dashboard.templating.list.filter(({ type }) => type === "query");
    for (const { query } of queries) assertExists(/^label_values\((.*), \w+\)$/.exec(query)[1]);
    const ids = dashboard.panels.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
  });

  it("leaves no metric out", () => {
    const text = JSON.stringify(dashboard);
    const missing = [...families.keys()].filter((name) => !text.includes(name));
    assert.deepEqual(missing, []);
  });
});

describe("ops/prometheus-rules.yml", () => {
  const text = read("ops/prometheus-rules.yml");
  const rules = [...text.matchAll(/^ +- alert: (\w+)\n +expr: (.*)$/gm)];
  it("has an expression for each alert, and each name once", () => {
    assert.equal(rules.length, text.match(/- alert:/g).length);
    assert.equal(new Set(rules.map(([, name]) => name)).size, rules.length);
  });
  for (const [, name, expression] of rules) it(`asks for what exists: ${name}`, () => assertExists(expression));
});

describe("the book's table", () => {
  it("has every metric, with its kind and its labels", () => {
    const rows = [...read("book/src/operations/monitoring.md").matchAll(/^\| `(slimy_\w+)` \| (\w+) \| (.*?) \|/gm)];
    const told = rows.map(([, name, kind, labels]) => [name, kind, [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label).sort().join()]);
    const labelsOf = (name) => {
      const one = samples.find((sample) => sample.name === name || sample.name === `${name}_bucket`);
      return Object.keys(one.labels).filter((label) => label !== "le").sort().join();
    };
    const real = [...families].map(([name, kind]) => [name, kind, labelsOf(name)]);
    assert.deepEqual(told.sort(), real.sort());
  });
});
