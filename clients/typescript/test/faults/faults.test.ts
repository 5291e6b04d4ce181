// FAULT_RUNS runs of faults at random, many at a time. FAULT_SEED plays the same again; a failure prints the seed of its run.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { type RunningStage, startStage } from '../conformance/start.js';
import { judge, type Outcome, run } from './run.js';

const RUNS = Number(process.env.FAULT_RUNS ?? 1000);
const SEED = Number(process.env.FAULT_SEED ?? Date.now() % 1_000_000_000);
const AT_A_TIME = Number(process.env.FAULT_AT_A_TIME ?? 48);

let stage: RunningStage;
before(async () => {
  stage = await startStage();
});
after(() => stage.end());

test('the judge sees losses, doubles, disorder and gaps', () => {
  const good = [
    { offset: 1, n: 0 },
    { offset: 2, mine: 0 },
    { offset: 3, n: 1 },
  ];
  assert.equal(judge(good, [], 2, 1), undefined);
  assert.match(judge(good.slice(1), [], 2, 1) ?? '', /2 of 3/);
  assert.match(judge([...good, { offset: 3, n: 1 }], [], 2, 1) ?? '', /4 of 3/);
  assert.match(
    judge(
      [
        { offset: 1, n: 0 },
        { offset: 3, n: 1 },
        { offset: 2, mine: 0 },
      ],
      [],
      2,
      1,
    ) ?? '',
    /offset 3 came as number 2/,
  );
  assert.match(
    judge(
      [
        { offset: 1, n: 1 },
        { offset: 2, mine: 0 },
        { offset: 3, n: 0 },
      ],
      [],
      2,
      1,
    ) ?? '',
    /came as 1 0/,
  );
  assert.match(judge(good, ['trimmed'], 2, 1) ?? '', /gaps/);
});

test(`${RUNS} runs lose nothing, double nothing and keep the order (seed ${SEED})`, async () => {
  const began = Date.now();
  const outcomes: Outcome[] = [];
  let next = 0;
  const worker = async () => {
    while (next < RUNS) {
      const outcome = await run(stage, SEED + next++);
      outcomes.push(outcome);
      if (outcome.failure) console.log(`FAULT_SEED=${outcome.seed} FAULT_RUNS=1: ${outcome.failure}`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_A_TIME, RUNS) }, worker));
  const sum = (of: (outcome: Outcome) => number) => outcomes.reduce((total, outcome) => total + of(outcome), 0);
  console.log(
    `seed ${SEED}: ${outcomes.length} runs in ${Math.round((Date.now() - began) / 1000)} s, ${sum((o) => o.faults)} faults, ` +
      `${sum((o) => o.sessions)} sessions, ${sum((o) => o.messages)} messages, ${sum((o) => Number(o.transports.size > 1))} runs on several transports`,
  );
  assert.deepEqual(
    outcomes.flatMap(({ seed, failure }) => (failure ? [seed] : [])),
    [],
  );
});
