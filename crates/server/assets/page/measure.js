// From publish to arrival, one publication at a time, and the picture of it.

import { element, milliseconds } from '/view.js';

const PUBLICATIONS = 200;
/** From one to the next at least, ms: below the rate at which the hub would have the client wait, by default 50 commands a second. */
const PACE = 25;
const BARS = 36;
const ARRIVAL_TIMEOUT = 10_000; // ms
const SVG = 'http://www.w3.org/2000/svg';

export class Measurement {
  running = false;
  #run = null;
  #waiting = null;

  /** Takes a message of this page's own run out of the stream; false when it is somebody else's. */
  claims({ data }) {
    if (this.#run === null || data?.measure !== this.#run) return false;
    if (this.#waiting?.number === data.number) this.#waiting.arrived(performance.now());
    return true;
  }

  /** Publishes to a subscription, and resolves to the latencies, ms, in order; `progress` is told how many there are. */
  async run(subscription, progress) {
    this.running = true;
    this.#run = crypto.getRandomValues(new Uint32Array(2)).join('-');
    const latencies = [];
    try {
      while (latencies.length < PUBLICATIONS) {
        progress(latencies.length, PUBLICATIONS);
        const [latency] = await Promise.all([this.#once(subscription, latencies.length), new Promise((resolve) => setTimeout(resolve, PACE))]);
        latencies.push(latency);
      }
      return latencies;
    } finally {
      this.running = false;
      this.#waiting = null;
    }
  }

  async #once(subscription, number) {
    let timer;
    const arrival = new Promise((resolve, reject) => {
      this.#waiting = { number, arrived: resolve };
      timer = setTimeout(() => reject(new Error(`publication ${number + 1} did not arrive within ${ARRIVAL_TIMEOUT / 1000} s`)), ARRIVAL_TIMEOUT);
    });
    const sent = performance.now();
    try {
      // The message may well arrive before the reply: both are awaited, the arrival is what counts.
      const [arrived] = await Promise.all([arrival, subscription.publish({ measure: this.#run, number })]);
      return arrived - sent;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Shows figures and histogram in `target`. */
export function showLatencies(target, latencies, transport) {
  const sorted = [...latencies].sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
  const figures = { min: sorted[0], p50: at(0.5), p99: at(0.99), max: sorted.at(-1) };

  const list = element('dl', 'figures');
  for (const [name, value] of Object.entries(figures)) {
    const pair = element('div');
    pair.append(element('dt', '', name), element('dd', '', milliseconds(value)));
    list.append(pair);
    target.dataset[name] = value.toFixed(3);
  }
  target.dataset.count = sorted.length;
  target.dataset.transport = transport;

  const axis = element('div', 'axis');
  axis.append(element('span', '', milliseconds(figures.min)), element('span', '', `${sorted.length} publications, ${transport}`), element('span', '', milliseconds(figures.max)));
  target.replaceChildren(list, histogram(sorted, figures), axis);
}

// Bars of equal ratio, not of equal width in ms: latencies spread over orders of magnitude.
function histogram(sorted, { min, p50, p99, max }) {
  const floor = Math.log(Math.max(min, 0.01));
  const span = Math.max(Math.log(Math.max(max, 0.01)) - floor, 1e-6);
  const place = (value) => (Math.log(Math.max(value, 0.01)) - floor) / span;
  const counts = new Array(BARS).fill(0);
  for (const value of sorted) counts[Math.min(BARS - 1, Math.floor(place(value) * BARS))] += 1;
  const highest = Math.max(...counts);

  const svg = draw('svg', { viewBox: '0 0 360 80', preserveAspectRatio: 'none', class: 'histogram', role: 'img' });
  const title = draw('title', {});
  title.textContent = `Latencies from ${milliseconds(min)} to ${milliseconds(max)}, logarithmic; half within ${milliseconds(p50)}, 99 % within ${milliseconds(p99)}`;
  svg.append(title);
  counts.forEach((count, index) => {
    if (count === 0) return;
    const height = Math.max(1.5, (count / highest) * 76);
    svg.append(draw('rect', { x: index * 10 + 0.75, y: 80 - height, width: 8.5, height, rx: 1, class: 'bar' }));
  });
  for (const [name, value] of [['p50', p50], ['p99', p99]]) {
    const x = Math.min(359, Math.max(1, place(value) * 360));
    svg.append(draw('line', { x1: x, x2: x, y1: 0, y2: 80, class: `mark ${name}` }));
  }
  return svg;
}

function draw(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}
