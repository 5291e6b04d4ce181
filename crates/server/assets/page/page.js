// The page a hub in development mode serves at `/`: connect over any transport, publish, watch, measure.
// Reading order: this file wires; session.js is the client; ws.js, sse.js, poll.js its transports; view.js draws.

import { Clock, now, toMilliseconds } from '/clock.js';
import { Measurement, showLatencies } from '/measure.js';
import { Presence } from '/presence.js';
import { Session } from '/session.js';
import { $, Stream, element, milliseconds, showMembers, showSubscriptions, showTargets, showTerminal } from '/view.js';

const stream = new Stream();
// All of them: a member that came back within the grace keeps the session it joined with.
const ownSessions = new Set();
const counts = { messages: 0, gaps: 0, reconnects: 0 };

const session = new Session(async () => (await devSession()).token, {
  state: showState,
  opened(info, resumed) {
    if (resumed) counts.reconnects += 1;
    $('alert').hidden = true;
    ownSessions.add(info.session);
    $('session').textContent = info.session ?? '–';
    $('user').textContent = info.user || 'anonymous';
    $('node').textContent = info.node ?? '–';
    clock.start();
    // A hub that does not announce the channels of the URL has subscribed them all the same.
    setTimeout(() => {
      if (session.info !== info) return;
      for (const channel of session.channels.keys()) if (!presence.channels.has(channel)) presence.load(channel);
    }, 1000);
    refresh();
  },
  subscribed(channel, { recovered, policy }) {
    stream.note('subscribed', `${channel}${recovered ? ', what was missed follows' : ''}`);
    if (policy && !policy.presence) presence.none(channel);
    else presence.load(channel);
    refresh();
  },
  unsubscribed(channel) {
    stream.note('unsubscribed', channel);
    presence.forget(channel);
    refresh();
  },
  frame: showFrame,
  refused(problem) {
    const again = problem.retryAfter === null ? '' : ` Retry after ${milliseconds(problem.retryAfter)}.`;
    alertUser(`${problem.status} ${problem.code}: ${problem.detail}${again}`);
    stream.note('refused', `${problem.status} ${problem.code}: ${problem.detail}`, 'bad');
  },
  note: (text, channel, level) => stream.note('note', channel ? `${channel}: ${text}` : text, level),
});
const presence = new Presence(session, () => showMembers(presence.channels, ownSessions));
const clock = new Clock(session, showClock);
const measurement = new Measurement(session);

/** The hub's own words to this page; each has a token that is good for a short time. */
async function devSession() {
  // The same user for the life of a tab: a session refreshes and resumes only as whom it was opened.
  const user = sessionStorage.getItem('user');
  const response = await fetch(`/dev/session.json${user ? `?${new URLSearchParams({ user })}` : ''}`, { cache: 'no-store' });
  if (!response.ok) throw new Error(`/dev/session.json answered ${response.status}`);
  const answer = await response.json();
  if (answer.user) sessionStorage.setItem('user', answer.user);
  $('version').textContent = answer.version ?? '';
  $('version').hidden = !answer.version;
  $('api').textContent = answer.api ? `gRPC at ${answer.api}` : '';
  $('channels').replaceChildren(...(answer.channels ?? []).map((channel) => new Option(channel, channel)));
  showTerminal(answer.curl ?? {}, copy);
  return answer;
}

function showFrame(kind, body) {
  switch (kind) {
    case 'message': {
      counts.messages += 1;
      if (!measurement.claims(body)) stream.message(body, arrival(body));
      return soon();
    }
    case 'gap':
      counts.gaps += 1;
      stream.gap(body);
      return soon();
    case 'join':
    case 'leave':
      presence.frame(kind, body);
      return stream.note(kind, `${body.member?.user || 'anonymous'} · ${body.channel}`);
    case 'open':
      return stream.note('open', `session ${body.session ?? '?'} on ${body.node ?? '?'} over ${session.transport}`);
    case 'subscribed':
    case 'unsubscribed':
      return body.reason ? stream.note(kind, `${body.channel}: ${body.reason}`) : undefined;
    case 'heartbeat':
      return stream.note('heartbeat', new Date(toMilliseconds(body.time)).toISOString(), 'heartbeat');
    case 'expiring':
      return stream.note('expiring', 'the token ends soon: a new one is on its way');
    case 'draining':
      return stream.note('draining', `the node is leaving: reconnecting in ${milliseconds(Number(body.reconnect_after ?? 0))}`, 'warn');
    case 'close':
      return stream.note('close', `${body.code ?? ''} ${body.reason ?? ''}`.trim(), 'warn');
    default:
      return stream.note(kind, JSON.stringify(body));
  }
}

/** When a message came and how long it took: by the publisher's own stamp if it put one in, else by the hub's. */
function arrival({ data, time }) {
  const at = now();
  if (typeof data?.sent === 'number') return { at, latency: at - data.sent, latencyTitle: 'since the publisher sent it, by the clock there' };
  const stamped = toMilliseconds(time);
  if (Number.isNaN(stamped) || clock.drift === null) return { at, latency: null };
  return { at, latency: Math.max(0, at - (stamped - clock.drift)), latencyTitle: 'since the hub accepted it, corrected for clock drift' };
}

function showState(state, note) {
  $('state').textContent = state;
  $('state-note').textContent = note;
  document.body.dataset.state = state;
  const connected = state === 'connected';
  $('connect').disabled = state !== 'disconnected';
  $('disconnect').disabled = state === 'disconnected';
  for (const id of ['subscribe', 'publish']) $(id).disabled = !connected;
  $('measure').disabled = !connected || measurement.running;
  if (!connected) clock.stop();
  if (state === 'disconnected') {
    presence.clear();
    for (const id of ['session', 'node']) $(id).textContent = '–';
    if (note) stream.note('disconnected', note, 'warn');
  }
  refresh();
}

function showClock() {
  const { drift, uncertainty, roundTrip } = clock;
  $('drift').textContent = drift === null ? '–' : `${drift >= 0 ? '+' : '−'}${Math.abs(drift).toFixed(1)} ± ${uncertainty.toFixed(1)} ms`;
  $('round-trip').textContent = roundTrip === null ? '–' : milliseconds(roundTrip);
}

function refresh() {
  showSubscriptions(session.channels, unsubscribe);
  showTargets(session.channels);
  for (const [name, count] of Object.entries(counts)) $(`count-${name}`).textContent = count.toLocaleString('en');
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

function unsubscribe(channel) {
  session.unsubscribe(channel).catch((error) => stream.note('error', `unsubscribe ${channel}: ${error.message}`, 'bad'));
}

async function subscribe() {
  const channel = $('channel').value.trim();
  if (!channel) return;
  try {
    await session.subscribe(channel);
    $('target').value = channel;
  } catch (error) {
    stream.note('error', `subscribe ${channel}: ${error.code}: ${error.message}`, 'bad');
    refresh();
  }
}

function connect() {
  const channel = $('channel').value.trim();
  if (!channel || session.state !== 'disconnected') return;
  $('alert').hidden = true;
  session.connect(chosenTransport(), [channel]);
}

async function publish() {
  const field = $('payload');
  const result = $('publish-result');
  const text = field.value;
  if (!text.trim() || session.state !== 'connected') return;
  let data = { text, sent: now(), by: session.info?.user ?? '' };
  if ($('raw').checked) {
    try {
      data = JSON.parse(text);
    } catch (error) {
      result.textContent = `Not JSON: ${error.message}`;
      result.className = 'hint bad';
      return;
    }
  }
  field.value = '';
  grow();
  try {
    const { position } = await session.request('publish', { channel: $('target').value, data });
    result.textContent = position ? `Accepted at offset ${position.offset ?? 0}, epoch ${position.epoch ?? ''}.` : 'Accepted.';
    result.className = 'hint';
  } catch (error) {
    result.textContent = `${error.code}: ${error.message}`;
    result.className = 'hint bad';
    if (field.value === '') field.value = text;
  }
}

async function measure() {
  const target = $('latency-result');
  const { transport } = session;
  const channel = $('target').value;
  const progress = element('progress');
  const label = element('p', 'quiet');
  target.replaceChildren(progress, label);
  for (const key of Object.keys(target.dataset)) delete target.dataset[key];
  $('measure').disabled = true;
  try {
    const latencies = await measurement.run(channel, (done, all) => {
      progress.max = all;
      progress.value = done;
      label.textContent = `${done} of ${all} to ${channel}`;
    });
    showLatencies(target, latencies, transport);
    stream.note('measured', `${latencies.length} publications to ${channel} over ${transport}`);
  } catch (error) {
    target.replaceChildren(element('p', 'bad', `Stopped: ${error.message}`));
  } finally {
    $('measure').disabled = session.state !== 'connected';
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

function chosenTransport() {
  return segments.find((segment) => segment.getAttribute('aria-checked') === 'true').dataset.transport;
}

function choose(segment) {
  if (segment.getAttribute('aria-checked') === 'true') return;
  for (const other of segments) {
    other.setAttribute('aria-checked', String(other === segment));
    other.tabIndex = other === segment ? 0 : -1;
  }
  // While connected, the session goes on over the other transport from where it is.
  session.moveTo(segment.dataset.transport);
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
$('disconnect').addEventListener('click', () => session.disconnect());
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
$('show-heartbeats').addEventListener('change', (event) => $('messages').classList.toggle('heartbeats', event.target.checked));
$('renew').addEventListener('click', () => devSession().catch((error) => alertUser(error.message)));

// `/?transport=sse&channel=demo:lobby` is a page to link to.
const wanted = new URLSearchParams(location.search);
if (wanted.has('channel')) $('channel').value = wanted.get('channel');
const segment = segments.find(({ dataset }) => dataset.transport === wanted.get('transport'));
if (segment) choose(segment);

showState('disconnected', '');
devSession()
  .then(({ user, channels }) => {
    $('user').textContent = user ?? '–';
    if (!wanted.has('channel') && channels?.length) $('channel').value = channels[0];
  })
  .catch((error) => alertUser(error.message));
