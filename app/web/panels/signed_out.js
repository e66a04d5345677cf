// The session has ended, or somebody made the first account: say so, and do not go on asking in vain.
import { el } from './dom.js';

const POLLED = '/gradio_api/'; // What pages ask for by themselves; what people do has answers of its own.
const never = () => new Promise(() => {});

let isWatching = false;
let notice = null;

/** From now on the page looks at the answers to what it asks for by itself. */
export function watchForSignOut() {
  if (isWatching) return;
  isWatching = true;
  const { fetch } = window;
  window.fetch = async (...request) => {
    if (!isPolled(request[0])) return fetch(...request);
    if (notice) return never();
    const response = await fetch(...request);
    if (response.status !== 401) return response;
    show();
    return never();
  };
  document.addEventListener('visibilitychange', () => !document.hidden && notice && lookAgain(fetch));
}

const isPolled = (request) => new URL(request?.url ?? request, location.href).pathname.startsWith(POLLED);

function show() {
  if (notice) return;
  const next = location.pathname + location.search;
  notice = el('div', { class: 'pp-signed-out', role: 'alert' }, el('span', {}, 'You are not signed in, so this page shows nothing new.'),
    el('a', { href: `/login?${new URLSearchParams({ next })}` }, 'Sign in'));
  document.body.append(notice);
}

/** The person may have signed in on another page. The reviewer goes on by itself; other pages begin again. */
async function lookAgain(fetch) {
  const answer = await fetch('/api/me').catch(() => null);
  if (!answer?.ok || !notice) return;
  if (!document.querySelector('#reviewer')) location.reload();
  notice.remove();
  notice = null;
}
