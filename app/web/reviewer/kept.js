// What this browser keeps until the server has it: decisions that wait, and drawings that the server refused.
// IndexedDB, because all tabs share it; a write counts only when it is on the disk, so that a crash loses nothing.
import { fromBase64 } from './wire.js';

const NAME = 'pixelsieve';
const VERSION = 1;
const WAITING = 'waiting';
const REFUSED = 'refused';

/** The browser could not keep something; the message says why and what to do. */
export class NotKeptError extends Error {}

/** Entries of one person in one workspace: {path, header, delta, sequence}; `sequence` is their order over all tabs. */
export class Kept {
  constructor(workspaceId, user) {
    this.owner = JSON.stringify([workspaceId, user]);
    this.workspaceId = workspaceId;
  }

  /** Keep an entry behind all others; returns when it is on the disk. */
  add(entry) {
    return this.write([WAITING], ([waiting]) => waiting.add({ ...entry, owner: this.owner }));
  }

  /** The entry to send next, or undefined. */
  first() {
    return this.read(WAITING, (waiting) => waiting.index('owner').get(this.owner));
  }

  count() {
    return this.read(WAITING, (waiting) => waiting.index('owner').count(this.owner));
  }

  /** The server has it. Sending it once more would do no harm, so this need not wait for the disk. */
  remove({ sequence }) {
    return this.write([WAITING], ([waiting]) => waiting.delete(sequence), 'relaxed');
  }

  /** The server will never take it: a drawing stays recoverable, anything else is done with. */
  refuse(entry, message) {
    return this.write([WAITING, REFUSED], ([waiting, refused]) => {
      if (entry.delta) refused.add({ ...entry, message });
      return waiting.delete(entry.sequence);
    });
  }

  refused() {
    return this.read(REFUSED, (refused) => refused.index('owner').getAll(this.owner));
  }

  /** A refused drawing was taken up again or given up. */
  settle({ number }) {
    return this.write([REFUSED], ([refused]) => refused.delete(number));
  }

  /** Take over what pages before this one kept in localStorage. A crash in between sends it twice, which counts once. */
  async adoptOldEntries() {
    const [waiting, refused] = ['outbox', 'refused'].map((kind) => oldEntries(`pixelsieve.${kind}.${this.workspaceId}.`));
    if (waiting.length + refused.length === 0) return;
    await this.write([WAITING, REFUSED], (stores) => {
      [waiting, refused].forEach((found, i) => found.forEach(({ entry: { path, header, delta, message } }) => {
        stores[i].add({ path, header, message, delta: delta && fromBase64(delta), owner: this.owner });
      }));
    });
    for (const { key } of [...waiting, ...refused]) localStorage.removeItem(key);
  }

  read(name, work) {
    return this.transact([name], 'readonly', ([store]) => work(store));
  }

  write(names, work, durability = 'strict') {
    return this.transact(names, 'readwrite', work, { durability });
  }

  async transact(names, mode, work, options) {
    const database = await this.open();
    return new Promise((resolve, reject) => {
      const transaction = database.transaction(names, mode, options);
      const request = work(names.map((name) => transaction.objectStore(name)));
      transaction.oncomplete = () => resolve(request?.result);
      transaction.onabort = () => reject(explained(transaction.error ?? request?.error));
    }).catch((error) => { throw error instanceof NotKeptError ? error : explained(error); });
  }

  open() {
    this.opening ??= openDatabase(() => { this.opening = null; });
    this.opening.catch(() => { this.opening = null; });
    return this.opening;
  }
}

/** `onGone` is called when the connection cannot be used any more: the next use opens another one. */
function openDatabase(onGone) {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(WAITING, { keyPath: 'sequence', autoIncrement: true }).createIndex('owner', 'owner');
      request.result.createObjectStore(REFUSED, { keyPath: 'number', autoIncrement: true }).createIndex('owner', 'owner');
    };
    request.onerror = () => reject(explained(request.error));
    request.onsuccess = () => {
      request.result.onclose = onGone;
      request.result.onversionchange = () => { // A newer page wants another layout: do not stand in its way.
        request.result.close();
        onGone();
      };
      resolve(request.result);
    };
  });
}

function explained(error) {
  if (error?.name === 'QuotaExceededError') {
    return new NotKeptError('This browser has no room left to keep decisions until they are saved, so this one was not taken. ' +
      'Free some disk space, or wait until what is waiting has been sent, and decide again.');
  }
  return new NotKeptError(`This browser could not keep the decision, so it was not taken (${error?.name ?? 'unknown'}: ${error?.message ?? ''}). ` +
    'Allow this page to store data, or use another browser window, and decide again.');
}

function oldEntries(prefix) {
  const keys = Array.from({ length: localStorage.length }, (_, index) => localStorage.key(index));
  const found = keys.filter((key) => key.startsWith(prefix)).map((key) => ({ key, entry: JSON.parse(localStorage.getItem(key)) }));
  return found.sort((a, b) => a.entry.sequence - b.entry.sequence);
}
