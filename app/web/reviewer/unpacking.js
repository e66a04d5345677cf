// The page's side of planes_worker.js.

const waiting = new Map(); // id -> {resolve, reject}
let worker = null;
let lastId = 0;

/** Unpack a body in the worker, which takes the buffer over; `work` is 'image' (planes.js) or 'planes' (wire.js). */
export function unpack(work, buffer) {
  worker ??= start();
  lastId += 1;
  const id = lastId;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    worker.postMessage({ id, work, buffer }, [buffer]);
  });
}

function start() {
  const started = new Worker(new URL('./planes_worker.js', import.meta.url), { type: 'module' });
  started.addEventListener('message', ({ data: { id, result, message } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (message === undefined) resolve(result);
    else reject(new Error(message));
  });
  started.addEventListener('error', (event) => {
    for (const { reject } of waiting.values()) reject(new Error(`Images cannot be unpacked (${event.message || 'the script did not load'}). Reload the page.`));
    waiting.clear();
    worker = null;
  });
  return started;
}
