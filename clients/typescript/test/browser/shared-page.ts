// What pages offer to the tests that drive them: a client that shares a connection, or one of their own.

import { Client, type Timing } from '../../src/index.js';
import { SharedClient } from '../../src/shared/index.js';
import { Stage } from '../conformance/stage.js';

export interface Joining {
  control: string;
  hub: string;
  user: string;
  ttl_s?: number;
  /** It leaves without a word, as a page does that is killed. */
  isMute?: boolean;
  /** It has a connection of its own, with these times. */
  alone?: Timing;
}

export interface SharedPage {
  client: SharedClient | Client;
  tokens: number;
  states: string[];
  /** What each channel told. */
  told: Record<string, string[]>;
  hear(channel: string, start?: object): Promise<void>;
}

declare global {
  var joinShared: (joining: Joining) => void;
  var shared: SharedPage;
}

function share(hub: string, user: string, isMute: boolean | undefined, getToken: () => Promise<string>): SharedClient {
  const worker = new SharedWorker(`/worker.js?hub=${encodeURIComponent(hub)}`, { type: 'module', name: user });
  const { port } = worker;
  if (isMute) {
    const post = port.postMessage.bind(port);
    port.postMessage = (said: { do: string }) => said.do === 'bye' || post(said);
  }
  return new SharedClient({ port }, { getToken });
}

globalThis.joinShared = ({ control, hub, user, ttl_s, isMute, alone }) => {
  const getToken = () => {
    page.tokens += 1;
    return new Stage(control).token({ user, ttl_s });
  };
  const page: SharedPage = {
    client: alone ? new Client(hub, { getToken, timing: alone }) : share(hub, user, isMute, getToken),
    tokens: 0,
    states: [],
    told: {},
    hear(channel, start) {
      const subscription = page.client.subscribe<{ n: number }>(channel, start);
      page.told[channel] = [];
      const tell = (what: string) => page.told[channel]?.push(what);
      subscription.on('message', ({ data }) => tell(String(data.n)));
      subscription.on('gap', ({ reason }) => tell(reason));
      subscription.on('join', ({ user }) => tell(`+${user}`));
      subscription.on('leave', ({ user }) => tell(`-${user}`));
      subscription.on('state', (state) => state !== 'subscribed' && tell(state));
      return subscription.ready({ timeoutMs: 15_000 });
    },
  };
  (page.client as Client).on('state', ({ state }) => page.states.push(state));
  globalThis.shared = page;
};
