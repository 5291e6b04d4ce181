import { Client } from '/client/index.js';

const user = new URLSearchParams(location.search).get('user') ?? prompt('Your name') ?? 'somebody';
const byId = (id) => document.getElementById(id);
const line = (text, kind = '') => {
  const item = document.createElement('li');
  item.textContent = text;
  item.className = kind;
  byId('messages').append(item);
  item.scrollIntoView();
};

const ask = async () => (await fetch(`/token?user=${encodeURIComponent(user)}`)).json();
const { hub } = await ask();
const client = new Client(hub, { getToken: async () => (await ask()).token });
client.on('state', ({ state }) => {
  byId('state').textContent = state;
});

const lobby = client.subscribe('chat:lobby', { rewind: 50 });
// No `from`: a service published it.
lobby.on('message', ({ data, from }) => line(from ? `${from.user}: ${data.text}` : data.text, from ? '' : 'service'));
lobby.on('gap', () => line('something may be missing here', 'gap'));

// Who is here: the list once it is subscribed, then joins and leaves.
const members = new Map();
const show = () =>
  byId('members').replaceChildren(
    ...[...members.values()].sort().map((name) => Object.assign(document.createElement('li'), { textContent: name })),
  );
lobby.on('subscribed', async () => {
  const { members: present } = await lobby.presence();
  members.clear();
  for (const { session, user: name } of present) members.set(session, name);
  show();
});
lobby.on('join', ({ session, user: name }) => {
  members.set(session, name);
  show();
});
lobby.on('leave', ({ session }) => {
  members.delete(session);
  show();
});

byId('say').addEventListener('submit', async (event) => {
  event.preventDefault();
  const text = byId('text').value;
  byId('text').value = '';
  // It is repeated with the same id until it is answered: it appears once, also over a bad network.
  await lobby.publish({ text }).catch((error) => line(`not sent: ${text} (${error.message})`, 'gap'));
});
