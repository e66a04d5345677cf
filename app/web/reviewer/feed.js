// Which region comes next, and having it at hand before it is needed.
import { getImage, getQueue, getRegion } from './server.js';

const LOOK_AHEAD = 40;
const REFILL_BELOW = 12;
const PREFETCHED_REGIONS = 4;
const CACHE_BYTES = 320e6;

export class Feed {
  /** `filter` holds the query of the queue: state, class_id, image_id. */
  constructor(filter) {
    this.filter = filter;
    this.rows = [];
    this.handled = new Map(); // region id -> state given here; the server may not know yet.
    this.visited = [];
    this.position = -1;
    this.images = new Map();
    this.views = new Map();
    this.isComplete = false;
  }

  async refill() {
    this.refilling ??= this.fetchRows().finally(() => { this.refilling = null; });
    return this.refilling;
  }

  async fetchRows() {
    const limit = LOOK_AHEAD + [...this.handled.values()].filter((state) => state === 'skipped').length;
    const { rows } = await getQueue({ ...this.filter, limit });
    this.rows = rows;
    this.isComplete = rows.length < limit;
  }

  /** Rows still to do: open ones, then what was only looked at, then what was skipped here. */
  get waiting() {
    const seen = new Set(this.visited);
    const rank = (row) => (this.handled.get(row.region_id) === 'skipped' ? 2 : seen.has(row.region_id) ? 1 : 0);
    const left = this.rows.filter((row) => [undefined, 'skipped'].includes(this.handled.get(row.region_id)));
    return left.map((row, order) => [rank(row), order, row]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(([, , row]) => row);
  }

  /** The region to show after `currentId`, or null when the queue is empty. */
  async next(currentId) {
    const candidates = () => this.waiting.filter((row) => row.region_id !== currentId);
    const isShort = () => candidates().filter((row) => !this.handled.has(row.region_id)).length < REFILL_BELOW;
    if (candidates().length === 0) await this.refill();
    else if (!this.isComplete && isShort()) this.refill().catch(() => {}); // The next call tries again.
    const [first] = candidates();
    return first ? first.region_id : null;
  }

  mark(regionId, state) {
    this.handled.set(regionId, state);
    this.views.delete(regionId);
  }

  /** An undo reopened the region, or the server refused the decision. */
  unmark(regionId) {
    this.handled.delete(regionId);
    this.views.delete(regionId);
  }

  /** Remember the way, for the arrows. */
  visit(regionId) {
    if (this.visited[this.position] === regionId) return;
    if (this.visited[this.position + 1] !== regionId) this.visited.splice(this.position + 1, Infinity, regionId);
    this.position += 1;
  }

  stepBack() {
    return this.position > 0 ? this.visited[--this.position] : null;
  }

  stepForward() {
    return this.position + 1 < this.visited.length ? this.visited[++this.position] : null;
  }

  view(regionId) {
    return remember(this.views, regionId, () => getRegion(regionId));
  }

  image(imageId) {
    const promise = remember(this.images, imageId, () => getImage(imageId));
    promise.then((image) => this.dropOldImages(image), () => {});
    return promise;
  }

  forgetImage(imageId) {
    this.images.delete(imageId);
  }

  /** A newer model proposed other regions: nothing that was fetched ahead holds any more. */
  forgetAll() {
    this.rows = [];
    this.views.clear();
    this.images.clear();
  }

  dropOldImages(sample) {
    const limit = Math.max(3, Math.floor(CACHE_BYTES / sample.bytes));
    for (const id of [...this.images.keys()].slice(0, Math.max(0, this.images.size - limit))) this.images.delete(id);
  }

  /** Fetch what is likely needed next; failures show when it is really needed. */
  prefetch(currentId) {
    const ahead = this.waiting.filter((row) => row.region_id !== currentId).slice(0, PREFETCHED_REGIONS);
    for (const row of ahead) {
      this.view(row.region_id).catch(() => {});
      this.image(row.image_id).catch(() => {});
    }
  }
}

/** Cached promise, most recently used last; failures are not kept. */
function remember(cache, key, load) {
  const found = cache.get(key) ?? load();
  cache.delete(key);
  cache.set(key, found);
  found.catch(() => { if (cache.get(key) === found) cache.delete(key); });
  return found;
}
