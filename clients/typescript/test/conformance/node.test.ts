// Every scenario of the list over every transport, from Node against a real hub.

import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import WebSocket from 'ws';

import type { TransportName, WebSocketConstructor } from '../../src/index.js';
import { WAYS } from '../node/ways.js';
import { play, type Scenario } from './run.js';
import { CLIENTS, type RunningStage, startStage } from './start.js';

const { scenarios, shared_history } = JSON.parse(readFileSync(new URL('fixtures/conformance.json', CLIENTS), 'utf8')) as {
  scenarios: Scenario[];
  shared_history: Scenario[];
};

for (const [name, transport, options] of WAYS) {
  plays(`over ${name}`, [], scenarios, transport, options);
  plays(`over ${name}, hubs that share a Redis`, ['--redis', '0'], shared_history, transport, options);
}

function plays(about: string, more: string[], scenarios: Scenario[], transport: TransportName, options: object): void {
  describe(about, () => {
    let stage: RunningStage;
    before(async () => {
      stage = await startStage({}, [], more);
    });
    after(() => stage.end());
    for (const scenario of scenarios) {
      test(`${scenario.name}: ${scenario.about}`, { timeout: 60_000 }, () =>
        play(scenario, {
          control: stage.control,
          transport,
          options: { WebSocket: WebSocket as unknown as WebSocketConstructor, ...options },
        }),
      );
    }
  });
}
