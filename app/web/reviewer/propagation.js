// After a relabel: regions of the same image that look like it may get its class, too. Offered without being in the way,
// shown before anything happens, and one decision when it does.
import { grouped } from './dom.js';
import { outlinePath, traceOutline } from './outline.js';
import { VOID_COLOR, cssColor } from './palette.js';
import { getLookalikes } from './server.js';
import { onScreen, strokeBoth } from './tools/cursor.js';

const LINE = 2; // CSS pixels.
const FILL = 0.55;
const ANSWERS = [['propagate_apply', 'Give them the class', 'Enter'], ['propagate_decline', 'Leave them', 'Escape']];

export class Propagation {
  constructor(reviewer) {
    Object.assign(this, { reviewer, offer: null, preview: null, isConfirmed: false });
    reviewer.screen.overlay.painters.push((painter) => this.paint(painter));
  }

  /**
   * A region was relabeled: look for others. What was offered before is over. Where people agree with the model, the
   * others have that class already.
   */
  async relabeled(row, classId) {
    this.isConfirmed = classId === row.class_id;
    if (this.isConfirmed) {
      this.offer = null;
      return this.reviewer.view.hideOffer();
    }
    const offer = { row, classId, rows: [] };
    this.offer = offer;
    this.reviewer.view.hideOffer();
    try {
      const found = await getLookalikes(row.region_id);
      if (this.offer !== offer) return undefined;
      offer.rows = await this.waiting(row.image_id, found);
    } catch {
      return undefined; // Nothing is offered; the key says why.
    }
    if (this.offer === offer) this.showOffer();
    return undefined;
  }

  /** Not while somebody draws, and not over what comes after the next region, unless it is of the same image. */
  showOffer() {
    const { offer, reviewer: { current, drawing, view } } = this;
    if (this.preview || !offer || offer.rows.length === 0 || !current) return;
    const { region_id: id, image_id: imageId } = current.row;
    if (id !== offer.row.region_id) offer.nextId ??= id;
    const isWanted = drawing.tool === null && (imageId === offer.row.image_id || id === offer.nextId);
    if (!isWanted) view.hideOffer();
    else if (view.offer.hidden) view.showOffer(this.describeOffer(offer), [['propagate', 'Show them']]);
  }

  async waiting(imageId, rows) {
    const image = await this.reviewer.feed.ready(imageId);
    return rows.filter((row) => ['open', 'skipped'].includes(image?.byNumber.get(row.number)?.state));
  }

  describeOffer({ row, rows, classId }) {
    const count = rows.length === 1 ? '1 region looks' : `${rows.length} regions look`;
    return `${count} like the one in ${row.image_name} that is ${this.nameOf(classId)} now.`;
  }

  nameOf(classId) {
    return this.reviewer.view.classes.get(classId)?.name ?? 'void';
  }

  /** Show what the last relabel, or else the region that is shown, would give its class to. */
  async show() {
    const { reviewer } = this;
    if (this.preview || !reviewer.editing.isReady()) return;
    const offer = this.offer ?? this.ofCurrent();
    if (offer === null) return reviewer.view.say(this.nothingToShow());
    const from = reviewer.current.row.region_id;
    let rows;
    try {
      const found = await getLookalikes(offer.row.region_id);
      await reviewer.feed.image(offer.row.image_id); // It knows which of them wait.
      rows = await this.waiting(offer.row.image_id, found);
    } catch (error) {
      return reviewer.view.say(`Regions that look alike could not be found. ${error.message}`);
    }
    if (rows.length === 0) return reviewer.tell(this.describeNone(offer));
    await reviewer.open(offer.row.region_id);
    if (reviewer.current?.row.region_id === offer.row.region_id) this.begin({ ...offer, rows, from });
    return undefined;
  }

  describeNone({ row, classId }) {
    return `No other region of ${row.image_name} that waits looks like the one that is ${this.nameOf(classId)} now.`;
  }

  /** Why there is nothing to look for. */
  nothingToShow() {
    return this.isConfirmed ? 'The last class key said what the model says: regions that look alike have that class already.'
      : 'Relabel a region first; then regions that look like it can get its class, too.';
  }

  /** The region that is shown, when people gave it one class. */
  ofCurrent() {
    const { image, current: { row } } = this.reviewer;
    if (image.isQueued(row.number)) return null;
    const [classId, ...others] = image.classesOf(row);
    return others.length === 0 && classId !== row.class_id ? { row, classId } : null;
  }

  begin(preview) {
    const { image, screen, view, root } = this.reviewer;
    this.preview = preview;
    this.chosen = new Set(preview.rows);
    this.paths = new Map(preview.rows.map((row) => [row, outlinePath(traceOutline(image.regions, image.width, row.number, row.bbox))]));
    screen.frameAs(() => screen.viewport.showAll([preview.row, ...preview.rows].map((row) => row.bbox)));
    screen.paint();
    root.dataset.preview = String(this.chosen.size);
    view.showOffer(this.describePreview(), ANSWERS, true);
    view.say(this.describePreview());
  }

  describePreview() {
    const pixels = [...this.chosen].reduce((sum, row) => sum + row.area, 0);
    const count = this.chosen.size === 1 ? '1 region' : `${this.chosen.size} regions`;
    return `${count}, ${grouped(pixels)} pixels, would become ${this.nameOf(this.preview.classId)}, counted as propagated, not as looked at. A click leaves one out.`;
  }

  /** A click on one of them leaves it out, or takes it in again. */
  toggle(number) {
    const row = this.preview.rows.find((each) => each.number === number);
    if (!row) return;
    if (!this.chosen.delete(row)) this.chosen.add(row);
    this.reviewer.root.dataset.preview = String(this.chosen.size);
    this.reviewer.view.showOffer(this.describePreview(), ANSWERS, true);
    this.reviewer.screen.overlay.paint();
  }

  /** Keys while something is previewed; true when it is one of them. The view may be moved as always. */
  key(event) {
    if (!this.preview || event.ctrlKey || event.metaKey || event.altKey) return false;
    const key = event.key.toLowerCase();
    if (key === 'enter' || key === 'y') this.apply();
    else if (key === 'escape' || key === 'n') this.decline();
    else return false;
    return true;
  }

  async apply() {
    const { preview, reviewer } = this;
    if (!preview || this.chosen.size === 0) return this.decline();
    const rows = preview.rows.filter((row) => this.chosen.has(row));
    this.end();
    if (await reviewer.editing.propagate(preview.row, rows, preview.classId)) this.offer = null;
    const isDecided = rows.some((row) => row.region_id === preview.from);
    return isDecided || preview.from === preview.row.region_id ? reviewer.goNext() : reviewer.open(preview.from);
  }

  async decline() {
    if (!this.preview) return;
    const { from } = this.preview;
    this.end();
    this.offer = null;
    await this.reviewer.open(from); // As it was left.
  }

  /** Another region is shown, or the person answered. */
  end() {
    this.preview = null;
    delete this.reviewer.root.dataset.preview;
    this.reviewer.view.hideOffer();
  }

  paint(painter) {
    if (!this.preview) return;
    const { context, viewport } = painter;
    const isFar = viewport.scale < viewport.ratio; // A line of full width would hide ragged regions.
    const color = this.reviewer.view.classes.get(this.preview.classId)?.color;
    for (const [row, path] of this.paths) {
      const moved = onScreen(painter, path);
      if (this.chosen.has(row)) {
        context.globalAlpha = FILL;
        context.fillStyle = color ? cssColor(color) : VOID_COLOR;
        context.fill(moved);
        context.globalAlpha = 1;
      }
      strokeBoth(painter, moved, isFar ? 0 : LINE, this.chosen.has(row) ? '#fff' : '#888');
    }
  }
}
