// The Prometheus text format, read strictly: what a lenient scraper forgives is an error here.
import assert from "node:assert/strict";

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const HELP = /^# HELP ([^ ]+) (.+)$/;
const TYPE = /^# TYPE ([^ ]+) (counter|gauge|histogram|summary|untyped)$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/;
const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/;

function number(text) {
  if (text === "+Inf") return Infinity;
  if (text === "-Inf") return -Infinity;
  assert.match(text, NUMBER, `no number: ${text}`);
  return Number(text);
}

function labels(text) {
  const found = new Map();
  for (let rest = text; rest !== ""; ) {
    const label = LABEL.exec(rest);
    assert.ok(label, `no label: ${rest}`);
    assert.ok(!found.has(label[1]), `label twice: ${text}`);
    found.set(label[1], label[2].replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c)));
    rest = rest.slice(label[0].length);
  }
  return found;
}

const key = (entries) => JSON.stringify([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));

/** The families of a text, by name: `{type, help, samples: [{name, labels: Map, value}]}`. Throws at whatever is not as it should be. */
export function parse(text) {
  assert.ok(text.endsWith("\n"), "the last line has no end");
  const families = new Map();
  let current;
  for (const line of text.slice(0, -1).split("\n")) {
    if (line === "") continue;
    if (line.startsWith("# HELP ")) {
      const [, name, help] = HELP.exec(line) ?? assert.fail(`no HELP: ${line}`);
      assert.match(name, NAME);
      assert.ok(!families.has(name), `${name} comes twice`);
      families.set(name, (current = { name, help, samples: [] }));
    } else if (line.startsWith("# TYPE ")) {
      const [, name, type] = TYPE.exec(line) ?? assert.fail(`no TYPE: ${line}`);
      assert.equal(name, current?.name, "TYPE follows its HELP");
      assert.equal(current.type, undefined, `the type of ${name} comes twice`);
      assert.equal(current.samples.length, 0, `the type of ${name} comes after its samples`);
      current.type = type;
    } else {
      const [, name, inner = "", value] = SAMPLE.exec(line) ?? assert.fail(`no sample: ${line}`);
      assert.ok(current?.type, `${line} comes before HELP and TYPE`);
      const suffixes = current.type === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
      assert.ok(suffixes.some((suffix) => name === current.name + suffix), `${name} is among the samples of ${current.name}`);
      current.samples.push({ name, labels: labels(inner), value: number(value) });
    }
  }
  families.forEach(checkFamily);
  return families;
}

function checkFamily(family) {
  const { name, type, samples } = family;
  assert.ok(type, `${name} has no type`);
  const seen = new Set();
  for (const sample of samples) {
    const id = sample.name + key(sample.labels);
    assert.ok(!seen.has(id), `${id} comes twice`);
    seen.add(id);
    if (type !== "gauge") assert.ok(sample.value >= 0, `${id} is negative`);
  }
  if (type === "counter") assert.match(name, /_total$/);
  if (type === "histogram") checkHistograms(name, samples);
}

function checkHistograms(name, samples) {
  const groups = new Map();
  for (const sample of samples) {
    const rest = [...sample.labels].filter(([label]) => label !== "le");
    const group = groups.get(key(rest)) ?? { buckets: [] };
    groups.set(key(rest), group);
    if (sample.name === `${name}_bucket`) group.buckets.push([number(sample.labels.get("le")), sample.value]);
    else {
      assert.ok(!sample.labels.has("le"), `${sample.name} has a bound`);
      group[sample.name.slice(name.length + 1)] = sample.value;
    }
  }
  for (const [id, { buckets, sum, count }] of groups) {
    const what = `${name}${id}`;
    assert.equal(typeof sum, "number", `${what} has no sum`);
    assert.equal(typeof count, "number", `${what} has no count`);
    assert.deepEqual(buckets.at(-1), [Infinity, count], `${what} ends in +Inf, which is the count`);
    for (let i = 1; i < buckets.length; i += 1) {
      assert.ok(buckets[i][0] > buckets[i - 1][0], `${what}: bounds grow`);
      assert.ok(buckets[i][1] >= buckets[i - 1][1], `${what}: buckets are cumulative`);
    }
    if (count === 0) assert.equal(sum, 0, `${what}: nothing has no sum`);
  }
}
