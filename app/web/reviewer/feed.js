// Which region comes next, and having it at hand before it is needed.
import { fetchImage, getQueue, getRegion, getUnreliability, unpackImage } from './server.js';

const LOOK_AHEAD = 12; // Their images are kept from others, who would start with the same ones.
const REFILL_BELOW = 8;
const MOST_ROWS = 1000; // The server sends no more.
const PREFETCHED_REGIONS = 8;
const UNPACKED_AHEAD = 2; // Images of them that are ready to be shown: they are 30 times larger than as they travel.
const CACHE_BYTES = 640e6; // Four pictures of 4000x3000.

export class Feed {
  /** `filter` holds the query of the queue: state, class_id, image_id. `onCounts` learns how much is left. */
  constructor(filter, onCounts) {
    Object.assign(this, { filter, onCounts });
    this.rows = [];
    this.handled = new Map(); // region id -> state given here; the server may not know yet.
    this.visited = [];
    this.position = -1;
    this.images = new Map(); // Ready to be shown.
    this.packed = new Map(); // Fetched ahead, as they travel.
    this.views = new Map();
    this.isComplete = false;
    this.elsewhere = null; // What the queue leaves out because of other people, when it is at its end.
    this.needsScores = false;
  }

  async refill() {
    this.refilling ??= this.fetchRows().finally(() => { this.refilling = null; });
    return this.refilling;
  }

  /** Who decides faster than the server saves finds at the head of its queue what was answered here: ask for more then. */
  async fetchRows() {
    for (let limit = LOOK_AHEAD, answered = 0; ; limit = Math.min(MOST_ROWS, LOOK_AHEAD + answered)) {
      const { rows, counts, elsewhere } = await getQueue({ ...this.filter, limit, ahead: true });
      this.onCounts(counts);
      [this.rows, this.isComplete, this.elsewhere] = [rows, rows.length < limit, elsewhere];
      answered = rows.filter((row) => this.handled.has(row.region_id)).length;
      if (this.isComplete || rows.length - answered >= REFILL_BELOW || limit === MOST_ROWS) return;
    }
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

  /** A region was decided, skipped or doubted here. */
  mark(regionId, state) {
    this.handled.set(regionId, state);
    this.rewrite(regionId, state);
  }

  /** It waits again, because of an undo or a refusal. */
  unmark(regionId, state = 'open') {
    this.handled.delete(regionId);
    this.rewrite(regionId, state);
  }

  /** Its view stays at hand: an undo may show it again at once. */
  rewrite(regionId, state) {
    const view = this.views.get(regionId);
    if (!view) return;
    const rewritten = view.then((found) => ({ ...found, row: { ...found.row, state } }));
    this.views.set(regionId, rewritten);
    rewritten.catch(() => { if (this.views.get(regionId) === rewritten) this.views.delete(regionId); });
  }

  /** An image if it is ready to be shown, else null. */
  async ready(imageId) {
    return (await this.images.get(imageId)?.catch(() => null)) ?? null;
  }

  /** Remember the way, for the arrows. */
  visit(regionId) {
    if (this.visited[this.position] === regionId) return;
    if (this.visited[this.position + 1] !== regionId) this.visited.splice(this.position + 1, Infinity, regionId);
    this.position += 1;
  }

  /** Somebody else works on it. */
  leaveImage(imageId) {
    this.rows = this.rows.filter((row) => row.image_id !== imageId);
  }

  stepBack() {
    return this.position > 0 ? this.visited[--this.position] : null;
  }

  /** The last region of the way that is another one than `regionId`, or null. */
  before(regionId) {
    return this.visited.slice(0, this.position + 1).findLast((id) => id !== regionId && this.handled.get(id) !== 'superseded') ?? null;
  }

  stepForward() {
    return this.position + 1 < this.visited.length ? this.visited[++this.position] : null;
  }

  view(regionId) {
    return remember(this.views, regionId, () => getRegion(regionId));
  }

  image(imageId) {
    const promise = remember(this.images, imageId, () => this.packedImage(imageId).then(unpackImage));
    this.packed.delete(imageId); // It can be unpacked once.
    promise.then((image) => this.dropOldImages(image), () => {});
    return promise;
  }

  packedImage(imageId) {
    return remember(this.packed, imageId, () => fetchImage(imageId));
  }

  /** The image changed on the server, or is about to. */
  forgetImage(imageId) {
    this.images.delete(imageId);
    this.packed.delete(imageId);
  }

  /** A newer model proposed other regions: nothing that was fetched ahead holds any more. */
  forgetAll() {
    this.rows = [];
    this.views.clear();
    this.images.clear();
    this.packed.clear();
  }

  dropOldImages(sample) {
    const limit = Math.max(3, Math.floor(CACHE_BYTES / sample.bytes));
    for (const id of oldest(this.images, limit)) this.images.delete(id);
    for (const id of oldest(this.packed, 2 * PREFETCHED_REGIONS)) this.packed.delete(id);
  }

  /** Load how unsure the model is about an image. From then on this is done ahead for others, too. */
  scores(image) {
    this.needsScores = true;
    image.scores ??= getUnreliability(image.id).then((plane) => { image.unreliability = plane; });
    image.scores.catch(() => { image.scores = null; });
    return image.scores;
  }

  /** Fetch what is likely needed next; failures show when it is really needed. */
  prefetch(currentId) {
    const ahead = this.waiting.filter((row) => row.region_id !== currentId).slice(0, PREFETCHED_REGIONS);
    for (const row of ahead) this.view(row.region_id).catch(() => {});
    [...new Set(ahead.map((row) => row.image_id))].forEach((id, order) => {
      if (order < UNPACKED_AHEAD) this.image(id).then((image) => this.needsScores && this.scores(image)).catch(() => {});
      else if (!this.images.has(id)) this.packedImage(id).catch(() => {});
    });
  }
}

/** The keys that are too many, those used longest ago. */
const oldest = (cache, limit) => [...cache.keys()].slice(0, Math.max(0, cache.size - limit));

/** Cached promise, most recently used last; failures are not kept. */
function remember(cache, key, load) {
  const found = cache.get(key) ?? load();
  cache.delete(key);
  cache.set(key, found);
  found.catch(() => { if (cache.get(key) === found) cache.delete(key); });
  return found;
}
