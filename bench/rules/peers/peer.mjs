// One JavaScript engine over the rules and events of a folder: node peer.mjs ENGINE FOLDER SECONDS
// Per event: a line of JSON is parsed, every rule is asked, the numbers of those that match are listed.
// Prints {engine, events, ev_per_cpu_s, cpu_p50_us, cpu_p99_us, hits}; stops after SECONDS of CPU time, events tells how far.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [, , engineName, folder, secondsText] = process.argv;
const budgetUs = Number(secondsText) * 1e6;
const require = createRequire(path.join(process.cwd(), 'package.json'));
const readJson = (name) => JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8'));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);

function askAll(conditions) {
  return (event) => {
    const found = [];
    for (let i = 0; i < conditions.length; i++) if (conditions[i](event) === true) found.push(i);
    return found;
  };
}

const engines = {
  functions() {
    return askAll(readJson('rules.js.json').map(({ source, constants }) => {
      const values = constants.map((c) => ('set' in c ? new Set(c.set) : new RegExp(c.regex)));
      return new Function('c', 'e', `return ${source}`).bind(null, values);
    }));
  },
  async marcbachmann() {
    const { Environment } = await load('@marcbachmann/cel-js');
    const environment = new Environment({ unlistedVariablesAreDyn: true, homogeneousAggregateLiterals: false });
    return askAll(readJson('rules.cel.json').map((text) => environment.parse(text)));
  },
  async bufbuild() {
    const { celEnv, parse, plan } = await load('@bufbuild/cel');
    const environment = celEnv();
    return askAll(readJson('rules.cel.json').map((text) => plan(environment, parse(text))));
  },
};

const cpuUs = () => {
  const used = process.cpuUsage();
  return used.user + used.system;
};

const ruleCount = readJson('rules.cel.json').length;
const lines = fs.readFileSync(path.join(folder, 'events.ndjson'), 'utf8').trimEnd().split('\n');
const decide = await engines[engineName]();

for (let i = 0, end = cpuUs() + budgetUs / 4; i < Math.min(5000, lines.length) && cpuUs() < end; i++) decide(JSON.parse(lines[i]));

const hits = new Array(ruleCount).fill(0);
let events = 0;
const start = cpuUs();
while (events < lines.length) {
  for (const last = Math.min(events + 50, lines.length); events < last; events++) {
    for (const rule of decide(JSON.parse(lines[events]))) hits[rule]++;
  }
  if (cpuUs() - start > budgetUs) break;
}
const spent = cpuUs() - start;

const latencies = [];
for (let i = 0, end = cpuUs() + budgetUs / 2; i < events && cpuUs() < end; i++) {
  const before = cpuUs();
  decide(JSON.parse(lines[i]));
  latencies.push(cpuUs() - before);
}
latencies.sort((a, b) => a - b);
console.log(JSON.stringify({
  engine: engineName, events, ev_per_cpu_s: events / (spent / 1e6), cpu_p50_us: latencies[latencies.length >> 1],
  cpu_p99_us: latencies[Math.floor(latencies.length * 0.99)], hits,
}));
process.exit(0);
