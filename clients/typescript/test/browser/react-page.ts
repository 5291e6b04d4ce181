// A page whose components use the hooks. What they show is in the document; the test mounts, changes and unmounts them.

import { createElement, StrictMode, useState } from 'react';
import { createRoot } from 'react-dom/client';

import { Client } from '../../src/index.js';
import { useChannel, usePresence } from '../../src/react/index.js';
import { Stage } from '../conformance/stage.js';

export interface Showing {
  channel: string;
  /** A second component that shows the channel too. */
  twice?: boolean;
  keep?: number;
  rewind?: number;
}

declare global {
  var begin: (hub: string, control: string, user: string) => void;
  var show: (showing: Showing | undefined) => void;
  var react: { client: Client; commands: string[]; called: string[] };
}

const commands: string[] = [];

/** What is sent is seen. */
class Watched extends WebSocket {
  override send(data: string): void {
    const { id: _, ...command } = JSON.parse(data) as Record<string, { channel?: string }>;
    for (const [verb, body] of Object.entries(command)) commands.push(`${verb} ${body.channel ?? ''}`);
    super.send(data);
  }
}

function Messages({ channel, id, keep, rewind }: { channel: string; id: string; keep?: number; rewind?: number }) {
  const onMessage = ({ data }: { data: { n: number } }) => globalThis.react.called.push(String(data.n));
  const { state, messages, gap, error } = useChannel<{ n: number }>(globalThis.react.client, channel, { keep, rewind, onMessage });
  const text = messages.map(({ data }) => data.n).join(' ');
  return createElement('p', { id }, `${state}|${text}|${gap?.reason ?? ''}|${error?.code ?? ''}`);
}

function Members({ channel }: { channel: string }) {
  const { members, isCurrent } = usePresence(globalThis.react.client, channel);
  return createElement('p', { id: 'members' }, `${isCurrent}|${members.map(({ user }) => user).join(' ')}`);
}

function App() {
  const [showing, show] = useState<Showing>();
  globalThis.show = show;
  if (!showing) return null;
  const { channel, twice, ...rest } = showing;
  return createElement('main', {}, [
    createElement(Messages, { key: 'first', id: 'first', channel, ...rest }),
    twice ? createElement(Messages, { key: 'second', id: 'second', channel, ...rest }) : null,
    createElement(Members, { key: 'members', channel }),
  ]);
}

globalThis.begin = (hub, control, user) => {
  const getToken = () => new Stage(control).token({ user });
  const client = new Client(hub, { getToken, WebSocket: Watched as never, timing: { baseMs: 50, capMs: 500 } });
  globalThis.react = { client, commands, called: [] };
  const root = document.getElementById('root');
  if (root) createRoot(root).render(createElement(StrictMode, {}, createElement(App)));
};
