// What a proxy can be told to do to the traffic of its clients. One table: the control interface checks against it, the README tells it.

/** Each mode with its default; a request may set some of them. */
export const DEFAULTS = Object.freeze({
  /** Milliseconds that every chunk is held back, either way, in order. */
  delay_ms: 0,
  /** `pass`; `close`: every connection is closed unanswered; a number: every request is answered with this status. */
  answer: 'pass',
  /** Seconds of a Retry-After beside such a status. */
  retry_after_s: 0,
  /**
   * WebSocket upgrades. `pass`; `refuse`: answered 502; `strip`: sent on as a plain GET, as proxies do that know no upgrades; `kill`: let open, then
   * reset `kill_after_ms` later; `stall`: let open, then nothing passes; `hang`: never answered.
   */
  ws: 'pass',
  /** Event streams. `pass`; `buffer`: held back to the end, as buffering proxies do; `kill`: reset `kill_after_ms` after the head; `refuse`: 502. */
  sse: 'pass',
  /** Long polls. `pass`; `refuse`: 502; `lose`: the hub answers, and the answer is lost. */
  poll: 'pass',
  /** POSTs of commands. `pass`; `refuse`: 502; `lose`: carried out, and the answer is lost; `drop`: never reaches the hub. */
  commands: 'pass',
  /** How long a killed one lives after its opening. */
  kill_after_ms: 0,
});

const CHOICES = {
  ws: ['pass', 'refuse', 'strip', 'kill', 'stall', 'hang'],
  sse: ['pass', 'buffer', 'kill', 'refuse'],
  poll: ['pass', 'refuse', 'lose'],
  commands: ['pass', 'refuse', 'lose', 'drop'],
};

/** Checks a change of modes; the error names what is wrong with it. */
export function checked(change) {
  for (const [mode, value] of Object.entries(change)) {
    if (!(mode in DEFAULTS)) throw new Error(`there is no mode \`${mode}\`: ${Object.keys(DEFAULTS).join(', ')}`);
    const choices = CHOICES[mode];
    if (choices && !choices.includes(value)) throw new Error(`\`${mode}\` is one of ${choices.join(', ')}`);
    if (mode === 'answer' && value !== 'pass' && value !== 'close' && !Number.isInteger(value)) {
      throw new Error('`answer` is `pass`, `close` or a status');
    }
    if (mode.endsWith('_ms') && !(value >= 0)) throw new Error(`\`${mode}\` is a number of milliseconds`);
  }
  return change;
}
