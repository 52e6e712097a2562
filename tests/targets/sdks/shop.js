// A request with one child span, under Sentry's own profiler in one of its modes: shop.js MODE DSN FOLDER-OF-MODULES.
const [mode, dsn, folder] = process.argv.slice(2);
const Sentry = require(`${folder}/node_modules/@sentry/node`);
const { nodeProfilingIntegration } = require(`${folder}/node_modules/@sentry/profiling-node`);

const MODES = {
  transaction: { profilesSampleRate: 1 },
  manual: { profileSessionSampleRate: 1, profileLifecycle: 'manual' },
  trace: { profileSessionSampleRate: 1, profileLifecycle: 'trace' },
  stream: { profileSessionSampleRate: 1, profileLifecycle: 'trace', traceLifecycle: 'stream' },
};

function busy(ms) {
  const end = performance.now() + ms;
  let number = 0;
  while (performance.now() < end) for (let i = 0; i < 1000; i++) number += i;
  return number;
}

const pause = ms => new Promise(done => setTimeout(done, ms));

async function main() {
  Sentry.init({
    dsn, tracesSampleRate: 1, release: 'shop@1.2.3', environment: 'staging',
    integrations: [nodeProfilingIntegration()], ...MODES[mode],
  });
  if (mode === 'manual') Sentry.profiler.startProfiler();
  await Sentry.startSpan({ op: 'http.server', name: 'GET /orders', forceTransaction: true }, () =>
    Sentry.startSpan({ op: 'cart.price', name: 'price the cart' }, async () => {
      for (let i = 0; i < 4; i++) {
        busy(90);
        await pause(10);
      }
    }));
  if (mode === 'manual') Sentry.profiler.stopProfiler();
  await pause(400);
  await Sentry.close(5000);
}

main();
