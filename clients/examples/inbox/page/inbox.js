import { Client } from '/client/index.js';

const user = new URLSearchParams(location.search).get('user') ?? 'ann';
const channel = `inbox:${user}`;
const byId = (id) => document.getElementById(id);
byId('user').textContent = user;

const ask = async () => (await fetch(`/token?user=${encodeURIComponent(user)}`)).json();
const { hub } = await ask();
const client = new Client(hub, { getToken: async () => (await ask()).token });
client.on('state', ({ state }) => {
  byId('state').textContent = state;
});

// No position and no rewind: the hub begins after what this user has acknowledged, wherever that was.
const inbox = client.subscribe(channel);
inbox.on('message', ({ data, offset }) => {
  const item = Object.assign(document.createElement('li'), { textContent: data.text });
  item.dataset.offset = offset;
  byId('unread').append(item);
});
// History no longer reaches back to the mark: an application would load the list from its own store here.
inbox.on('gap', ({ position }) => {
  const item = Object.assign(document.createElement('li'), { textContent: 'older notifications are gone' });
  item.dataset.offset = position.offset;
  byId('unread').append(item);
});

byId('done').addEventListener('click', async () => {
  const shown = [...byId('unread').children];
  const last = shown.at(-1);
  if (!last) return;
  // Everything up to the last that is shown. When it fails all stays unread, and the next click covers it.
  await inbox.ack(Number(last.dataset.offset));
  for (const item of shown) item.remove();
});

byId('notify').addEventListener('submit', async (event) => {
  event.preventDefault();
  await fetch('/notify', { method: 'POST', body: JSON.stringify({ user, text: byId('text').value }) });
  byId('text').value = '';
});
