const POINTS = 120;
const points = [];
const byId = (id) => document.getElementById(id);

const { hub } = await (await fetch('/hub')).json();
// The last 120 points first, then each as it comes. After a loss the browser reconnects by itself and says by Last-Event-ID what it has seen:
// what was missed meanwhile comes first.
const source = new EventSource(`${hub}/v1/sse?channel=metrics:machine&rewind=${POINTS}`);
source.onopen = () => {
  byId('state').textContent = 'live';
};
source.onerror = () => {
  byId('state').textContent = 'connecting';
};
source.onmessage = ({ data }) => {
  points.push(JSON.parse(data).data);
  points.splice(0, points.length - POINTS);
  draw();
};
// History no longer reaches back to what was seen last: a curve across the hole would lie.
source.addEventListener('gap', () => {
  points.length = 0;
});

function draw() {
  const last = points.at(-1);
  byId('load').value = last.load.toFixed(2);
  byId('memory').value = `${(100 * last.memory).toFixed(0)} %`;
  const graph = byId('graph');
  graph.dataset.points = points.map(({ n }) => n).join(' ');
  const pen = graph.getContext('2d');
  pen.clearRect(0, 0, graph.width, graph.height);
  for (const [name, colour] of [
    ['load', '#06c'],
    ['memory', '#c60'],
  ]) {
    const top = Math.max(1, ...points.map((point) => point[name]));
    pen.strokeStyle = colour;
    pen.beginPath();
    for (const [index, point] of points.entries()) {
      pen.lineTo((index / (POINTS - 1)) * graph.width, (1 - point[name] / top) * (graph.height - 10) + 5);
    }
    pen.stroke();
  }
}
