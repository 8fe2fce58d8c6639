'use strict';
// Request server that runs as the only program of the node guest.
//
// It holds what services in node hold (parsed records, a text index, buffers,
// compiled templates) and answers one line per request line on the first serial
// port. Every answer is a function of guest memory alone, never of time or
// chance: two guests that were restored from the same snapshot must agree on
// every byte, whatever delivered their memory.

const crypto = require('crypto');
const fs = require('fs');
const path = require('path');
const tty = require('tty');

const SERIAL_PATH = '/dev/ttyS0';
const RECORD_COUNT = 40000;
const BUFFER_BYTES = 8 << 20;
const SERIES_LENGTH = 1 << 20;
const INDEXED_CHARACTERS = 3 << 20;
const VERTEX_COUNT = 60000;
const CITIES = ['Oslo', 'Turin', 'Ghent', 'Porto', 'Graz'];
const WORD = /[A-Za-z_]{3,}/g;

const sha256 = (data) => crypto.createHash('sha256').update(data).digest('hex');

/** Real text: the scripts that come with node, in a fixed order. */
function loadCorpus() {
  const texts = [];
  const visit = (directory) => {
    for (const entry of fs.readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const name = path.join(directory, entry.name);
      if (entry.isDirectory()) visit(name);
      else if (entry.isFile() && /\.(js|json|ts|md)$/.test(name)) texts.push(fs.readFileSync(name, 'utf8'));
    }
  };
  visit('/usr/share/nodejs');
  const builtin = process.binding('natives');
  for (const name of Object.keys(builtin).sort()) texts.push(builtin[name]);
  return texts.join('\n');
}

/** Positions of every word, as a search service would hold them. */
function indexWords(corpus) {
  const index = new Map();
  for (const match of corpus.slice(0, INDEXED_CHARACTERS).matchAll(WORD)) {
    const places = index.get(match[0]);
    if (places) places.push(match.index);
    else index.set(match[0], [match.index]);
  }
  return index;
}

function recordText(number) {
  return JSON.stringify({
    id: number,
    name: `customer-${number}`,
    city: CITIES[(number * 7) % CITIES.length],
    balanceCents: (number * 7919) % 1000003,
    tags: [`tag${number % 17}`, `tier${number % 3}`],
    address: { street: `Street ${number % 311}`, house: number % 97 },
  });
}

/** A function from a template, as template engines compile it. */
function compileTemplate(text) {
  const body = text.replace(/\{\{(\w+)\}\}/g, "' + escape(record.$1) + '");
  return new Function('escape', 'record', `return '${body}';`);
}

const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escapeMarkup = (value) => String(value).replace(/[&<>"]/g, (c) => ENTITIES[c]);

class Server {
  constructor() {
    this.corpus = loadCorpus();
    this.index = indexWords(this.corpus);
    this.records = [];
    this.byCity = new Map();
    this.ingest(RECORD_COUNT);
    this.templates = [];
    for (let i = 0; i < 200; i++) {
      this.templates.push(compileTemplate(`<tr class=t${i}><td>{{name}}</td><td>{{city}}</td><td>{{balanceCents}}</td></tr>`));
    }
    this.buffer = Buffer.alloc(BUFFER_BYTES);
    const text = Buffer.from(this.corpus, 'utf8');
    for (let at = 0; at < BUFFER_BYTES; at += text.length) text.copy(this.buffer, at);
    this.series = new Int32Array(SERIES_LENGTH);
    for (let i = 1; i < SERIES_LENGTH; i++) this.series[i] = this.series[i - 1] + (Math.imul(i, 2654435761) >>> 28) - 7;
    this.edges = new Uint32Array(VERTEX_COUNT * 3);
    for (let v = 0; v < VERTEX_COUNT; v++) {
      this.edges.set([(v * 5 + 1) % VERTEX_COUNT, (v * 7 + 3) % VERTEX_COUNT, (v + 1) % VERTEX_COUNT], v * 3);
    }
  }

  ping() {
    return 'pong';
  }

  lookup(number) {
    const record = this.records[Number(number)];
    return record ? JSON.stringify(record) : 'nothing';
  }

  /** Where the first word is, and the others near it. */
  search(...words) {
    const places = words.map((word) => this.index.get(word) || []);
    const near = places[0].filter((at) => places.every((list) => list.some((other) => Math.abs(other - at) < 200)));
    return `${places[0].length} ${near.length} ${near.slice(0, 8).join(',')}`;
  }

  render(rowCount) {
    let page = '<table>';
    for (let i = 0; i < Number(rowCount); i++) {
      page += this.templates[i % this.templates.length](escapeMarkup, this.records[(i * 13) % RECORD_COUNT]);
    }
    page += '</table>';
    return `${page.length} ${sha256(page)}`;
  }

  /** A report over the records of a city. */
  report(city) {
    const tiers = {};
    for (const record of this.byCity.get(city) || []) {
      const tier = (tiers[record.tags[1]] ||= { count: 0, balanceCents: 0 });
      tier.count += 1;
      tier.balanceCents += record.balanceCents;
    }
    return JSON.stringify(tiers);
  }

  sum(first, end) {
    let least = Infinity;
    let greatest = -Infinity;
    let total = 0;
    for (const value of this.series.subarray(Number(first), Number(end))) {
      if (value < least) least = value;
      if (value > greatest) greatest = value;
      total += value;
    }
    return `${least} ${greatest} ${total}`;
  }

  digest(first, end) {
    return sha256(this.buffer.subarray(Number(first), Number(end)));
  }

  /** Records to text and back. */
  serialize(first, end) {
    const text = JSON.stringify(this.records.slice(Number(first), Number(end)));
    return `${JSON.parse(text).length} ${sha256(text)}`;
  }

  /** Breadth-first search from a vertex: how many steps to the farthest, and their sum. */
  path(start) {
    const distance = new Int32Array(VERTEX_COUNT).fill(-1);
    const queue = [Number(start) % VERTEX_COUNT];
    distance[queue[0]] = 0;
    let total = 0;
    for (let head = 0; head < queue.length; head++) {
      const vertex = queue[head];
      total += distance[vertex];
      for (let i = vertex * 3; i < vertex * 3 + 3; i++) {
        const next = this.edges[i];
        if (distance[next] < 0) {
          distance[next] = distance[vertex] + 1;
          queue.push(next);
        }
      }
    }
    return `${queue.length} ${distance[queue[queue.length - 1]]} ${total}`;
  }

  /** Adds records: the one request that changes the guest's memory for good. */
  ingest(count) {
    const end = this.records.length + Number(count);
    for (let number = this.records.length; number < end; number++) {
      const record = JSON.parse(recordText(number));
      this.records.push(record);
      if (!this.byCity.has(record.city)) this.byCity.set(record.city, []);
      this.byCity.get(record.city).push(record);
    }
    return String(this.records.length);
  }

  stats() {
    return `records=${this.records.length} words=${this.index.size} corpus=${this.corpus.length} buffer=${this.buffer.length}`;
  }

  /** One line for one line. A bad request is answered, it never ends the server. */
  answer(line) {
    const [name, ...fields] = line.split(' ');
    const requests = ['ping', 'lookup', 'search', 'render', 'report', 'sum', 'digest', 'serialize', 'path', 'ingest', 'stats'];
    if (!requests.includes(name)) return `error: unknown request ${JSON.stringify(name)}`;
    try {
      return this[name](...fields);
    } catch (problem) {
      return `error: ${problem.name}: ${problem.message}`;
    }
  }
}

function main() {
  const flags = fs.constants.O_RDWR | fs.constants.O_NOCTTY;
  const output = fs.openSync(SERIAL_PATH, flags);
  const port = new tty.ReadStream(fs.openSync(SERIAL_PATH, flags));
  port.setRawMode(true);
  port.setEncoding('latin1');
  const server = new Server();
  let pending = '';
  port.on('data', (text) => {
    const lines = (pending + text).split('\n');
    pending = lines.pop();
    for (const line of lines) fs.writeSync(output, `${server.answer(line)}\n`);
  });
  fs.writeSync(output, 'READY\n');
}

main();
