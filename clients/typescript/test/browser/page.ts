// What the conformance page offers to the test that drives it.

import type { ClientOptions, TransportName } from '../../src/index.js';
import { protobuf } from '../../src/protobuf/index.js';
import { play, type Scenario } from '../conformance/run.js';

declare global {
  var playScenario: (scenario: Scenario, control: string, transport: TransportName, binary: boolean) => Promise<string>;
}

/** Plays it; gives what did not hold, or nothing. */
globalThis.playScenario = async (scenario, control, transport, binary) => {
  const options: ClientOptions = binary ? { codec: protobuf } : {};
  try {
    await play(scenario, { control, transport, options });
    return '';
  } catch (error) {
    return String(error);
  }
};
