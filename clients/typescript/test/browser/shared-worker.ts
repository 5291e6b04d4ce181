// The worker of the pages under test: it learns the hub's address by its own.

import { serve } from '../../src/shared/index.js';

const hub = new URL(globalThis.location.href).searchParams.get('hub') ?? '';
serve(hub, { timing: { baseMs: 50, capMs: 500 } });
