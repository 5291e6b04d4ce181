// The page a hub in development mode serves at `/`: connect over any transport, publish, watch, measure. It speaks to the hub by the
// client that the hub serves to everybody, so what it shows is what any page can have.
// Reading order: this file wires; presence.js, clock.js and measure.js ask; view.js draws.

import { Client } from '/client.js';
import { Clock, now } from '/clock.js';
import { Measurement, showLatencies } from '/measure.js';
import { Presence } from '/presence.js';
import { $, Stream, element, milliseconds, showMembers, showSubscriptions, showTargets, showTerminal } from '/view.js';

/** Who restarts a hub that is being worked on does not want to wait for the page. */
const TIMING = { capMs: 3000 };

const stream = new Stream();
// All of them: a member that came back within the grace keeps the session it joined with.
const ownSessions = new Set();
const counts = { messages: 0, gaps: 0, reconnects: -1 };
const presence = new Presence(() => showMembers(presence.channels, ownSessions));
const clock = new Clock(() => client.ping(), showClock);
const measurement = new Measurement();
let client = null;

/** The hub's own words to this page; each has a token that is good for a short time. */
async function devSession() {
  // The same user for the life of a tab: a session refreshes and resumes only as whom it was opened.
  const user = sessionStorage.getItem('user');
  const response = await fetch(`/dev/session.json${user ? `?${new URLSearchParams({ user })}` : ''}`, { cache: 'no-store' });
  if (!response.ok) throw new Error(`/dev/session.json answered ${response.status}`);
  const answer = await response.json();
  sessionStorage.setItem('user', answer.user);
  $('user').textContent = answer.user;
  $('version').textContent = answer.version;
  $('api').textContent = `gRPC at ${answer.api}`;
  $('channels').replaceChildren(...answer.channels.map((channel) => new Option(channel, channel)));
  showTerminal(answer.curl, copy);
  return answer;
}

/** Makes a client with the transports that are chosen, and shows what it tells for as long as it is the page's. */
function makeClient() {
  const chosen = segments.find((segment) => segment.getAttribute('aria-checked') === 'true').dataset.transport;
  const made = new Client(location.origin, {
    getToken: async () => (await devSession()).token,
    transports: chosen === 'auto' ? undefined : [chosen],
    timing: TIMING,
  });
  const on = (name, show) => made.on(name, (told) => made === client && show(told));
  on('state', showState);
  on('open', ({ session, node }) => {
    counts.reconnects += 1;
    $('alert').hidden = true;
    ownSessions.add(session);
    $('session').textContent = session;
    $('node').textContent = node;
    stream.note('open', `session ${session} on ${node} over ${made.transport}`);
    clock.start();
    refresh();
  });
  on('moved', ({ transport }) => {
    $('transport').textContent = transport;
    stream.note('moved', `to ${transport}, without a break`);
  });
  on('message', showMessage);
  on('subscription', (subscription) => hear(made, subscription));
  on('error', ({ code, message }) => {
    alertUser(`${code}: ${message}`);
    stream.note('error', `${code}: ${message}`, 'bad');
  });
  return made;
}

/** Subscribes a channel, after this position where there is one. */
function join(channel, position) {
  if (!client.subscriptions.has(channel)) hear(client, client.subscribe(channel, { position }));
}

/** Shows what a subscription tells. */
function hear(owner, subscription) {
  const { channel } = subscription;
  const on = (name, show) => subscription.on(name, (told) => owner === client && show(told));
  on('message', showMessage);
  on('gap', (gap) => {
    counts.gaps += 1;
    stream.gap(gap);
    presence.load(subscription);
    refresh();
  });
  for (const kind of ['join', 'leave']) {
    on(kind, (member) => {
      presence.change(channel, kind, member);
      stream.note(kind, `${member.user || 'anonymous'} · ${channel}`);
    });
  }
  on('subscribed', ({ recovered }) => {
    stream.note('subscribed', `${channel}${recovered ? ', what was missed follows' : ''}`);
    presence.load(subscription);
  });
  on('state', (state) => {
    if (state === 'unsubscribed') {
      stream.note('unsubscribed', channel);
      presence.forget(channel);
    }
    refresh();
  });
  on('error', ({ code, message }) => stream.note('error', `${channel}: ${code}: ${message}`, 'bad'));
  refresh();
}

function showMessage(message) {
  counts.messages += 1;
  if (!measurement.claims(message)) stream.message(message, arrival(message));
  soon();
}

/** When a message came and how long it took: by the publisher's own stamp if it put one in, else by the hub's. */
function arrival({ data, time }) {
  const at = now();
  if (typeof data?.sent === 'number') return { at, latency: at - data.sent, latencyTitle: 'since the publisher sent it, by the clock there' };
  if (time === undefined || clock.drift === null) return { at, latency: null };
  return { at, latency: Math.max(0, at - (time - clock.drift)), latencyTitle: 'since the hub accepted it, corrected for clock drift' };
}

function showState({ state, transport = '–', message = '' }) {
  $('state').textContent = state;
  $('state-note').textContent = message;
  $('transport').textContent = transport;
  document.body.dataset.state = state;
  const isOff = state === 'disconnected';
  $('connect').disabled = !isOff;
  // What is asked while it connects waits for the connection.
  for (const id of ['disconnect', 'subscribe', 'publish']) $(id).disabled = isOff;
  $('measure').disabled = state !== 'connected' || measurement.running;
  if (state !== 'connected') clock.stop();
  if (isOff) {
    presence.clear();
    for (const id of ['session', 'node', 'transport']) $(id).textContent = '–';
  }
  if (message) stream.note(state, message, 'warn');
  refresh();
}

function showClock() {
  const { drift, uncertainty, roundTrip } = clock;
  $('drift').textContent = drift === null ? '–' : `${drift >= 0 ? '+' : '−'}${Math.abs(drift).toFixed(1)} ± ${uncertainty.toFixed(1)} ms`;
  $('round-trip').textContent = roundTrip === null ? '–' : milliseconds(roundTrip);
}

function refresh() {
  const subscriptions = [...(client?.subscriptions.values() ?? [])];
  showSubscriptions(subscriptions);
  showTargets(subscriptions.map(({ channel }) => channel));
  for (const [name, count] of Object.entries(counts)) $(`count-${name}`).textContent = Math.max(0, count).toLocaleString('en');
  $('count-gaps').classList.toggle('bad', counts.gaps > 0);
}

let due = false;
/** Positions and counters move with every message; redrawing them ten times a second is plenty. */
function soon() {
  if (due) return;
  due = true;
  setTimeout(() => {
    due = false;
    refresh();
  }, 100);
}

function alertUser(text) {
  $('alert').textContent = text;
  $('alert').hidden = false;
}

/** Connects, or goes on from where it was disconnected. */
function connect() {
  const channel = $('channel').value.trim();
  if (!channel) return;
  $('alert').hidden = true;
  client ??= makeClient();
  join(channel);
  client.connect();
}

function subscribe() {
  const channel = $('channel').value.trim();
  if (!channel) return;
  join(channel);
  $('target').value = channel;
}

async function publish() {
  const field = $('payload');
  const text = field.value;
  if (!text.trim() || $('publish').disabled) return;
  const tell = (result, level = '') => {
    $('publish-result').textContent = result;
    $('publish-result').className = `hint ${level}`;
  };
  let data = { text, sent: now(), by: $('user').textContent };
  if ($('raw').checked) {
    try {
      data = JSON.parse(text);
    } catch (error) {
      return tell(`Not JSON: ${error.message}`, 'bad');
    }
  }
  field.value = '';
  grow();
  try {
    const { position } = await client.publish($('target').value, data);
    tell(position ? `Accepted at offset ${position.offset}, epoch ${position.epoch}.` : 'Accepted.');
  } catch (error) {
    tell(`${error.code}: ${error.message}`, 'bad');
    if (field.value === '') field.value = text;
  }
}

async function measure() {
  const subscription = client.subscriptions.get($('target').value);
  if (!subscription) return;
  const { channel } = subscription;
  const { transport } = client;
  const target = $('latency-result');
  const progress = element('progress');
  const label = element('p', 'quiet');
  target.replaceChildren(progress, label);
  for (const key of Object.keys(target.dataset)) delete target.dataset[key];
  $('measure').disabled = true;
  try {
    const latencies = await measurement.run(subscription, (done, all) => {
      progress.max = all;
      progress.value = done;
      label.textContent = `${done} of ${all} to ${channel}`;
    });
    showLatencies(target, latencies, transport);
    stream.note('measured', `${latencies.length} publications to ${channel} over ${transport}`);
  } catch (error) {
    target.replaceChildren(element('p', 'bad', `Stopped: ${error.message}`));
  } finally {
    $('measure').disabled = client.state !== 'connected';
  }
}

async function copy(text, button, code) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
  } catch {
    // No clipboard without a secure context: leave the text selected instead.
    getSelection().selectAllChildren(code);
    button.textContent = 'Selected';
  }
  setTimeout(() => (button.textContent = 'Copy'), 1500);
}

const segments = [...document.querySelectorAll('[data-transport]')];

function choose(segment) {
  if (segment.getAttribute('aria-checked') === 'true') return;
  for (const other of segments) {
    other.setAttribute('aria-checked', String(other === segment));
    other.tabIndex = other === segment ? 0 : -1;
  }
  if (!client) return;
  // A client's transports are for good: another one goes on from where this one is.
  const before = client;
  const wasOff = before.state === 'disconnected';
  client = makeClient();
  for (const { channel, position } of before.subscriptions.values()) join(channel, position);
  if (wasOff) client.disconnect();
  before.disconnect();
}

function grow() {
  const field = $('payload');
  field.rows = Math.min(8, field.value.split('\n').length);
}

segments.forEach((segment, index) => {
  segment.addEventListener('click', () => choose(segment));
  segment.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = segments[(index + step + segments.length) % segments.length];
    next.focus();
    choose(next);
  });
});
$('connect').addEventListener('click', connect);
$('disconnect').addEventListener('click', () => client.disconnect());
$('channel-form').addEventListener('submit', (event) => {
  event.preventDefault();
  subscribe();
});
// Enter submits nothing while the form's own button is disabled; then it means connect.
$('channel').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && $('subscribe').disabled) connect();
});
$('publish-form').addEventListener('submit', (event) => {
  event.preventDefault();
  publish();
});
$('payload').addEventListener('input', grow);
$('payload').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  publish();
});
$('measure').addEventListener('click', measure);
$('clear').addEventListener('click', () => stream.clear());
$('renew').addEventListener('click', () => devSession().catch((error) => alertUser(error.message)));

// `/?transport=sse&channel=demo:lobby` is a page to link to.
const wanted = new URLSearchParams(location.search);
if (wanted.has('channel')) $('channel').value = wanted.get('channel');
const segment = segments.find(({ dataset }) => dataset.transport === wanted.get('transport'));
if (segment) choose(segment);

showState({ state: 'disconnected' });
devSession()
  .then(({ channels }) => {
    if (!wanted.has('channel')) $('channel').value = channels[0];
  })
  .catch((error) => alertUser(error.message));
