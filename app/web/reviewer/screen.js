// What is shown and how: view, mode, opacity. Owns both canvases' painters.
import { KeptViews } from './kept_views.js';
import { Marks } from './marks.js';
import { Overlay } from './overlay.js';
import { buildTables } from './palette.js';
import { Renderer } from './renderer.js';
import { Viewport } from './viewport.js';

const OPACITIES = [0.35, 0.6, 0.15]; // First: colour seen, picture still readable.
const SMALL_WINDOW = 900; // As in reviewer.css.
const MANY_CLASSES = 8; // Hues repeat beyond; letters then tell classes apart.

export class Screen {
  /** `onMode` is called after mode, opacity or band changed, `loadScores(image)` before reliability is shown. */
  constructor(view, { classes, workspace_id: workspaceId }, { onMode, loadScores }) {
    Object.assign(this, { view, classes, onMode, loadScores, mode: 'class', opacity: OPACITIES[0], showBand: false, region: null, framing: null });
    this.isDimmed = false;
    this.views = new KeptViews(`pixelsieve.views.${workspaceId}`);
    window.addEventListener('pagehide', () => this.views.write());
    this.viewport = new Viewport();
    this.renderer = new Renderer(view.base, this.viewport);
    this.overlay = new Overlay(view.top, this.viewport);
    this.marks = new Marks(view.marks, this.viewport);
    view.regionShare = () => this.regionShare();
    if (classes.length > MANY_CLASSES) this.marks.letters = new Map(classes.map((each) => [each.id, letterOf(each)]));
    new ResizeObserver(() => this.resize()).observe(view.stage);
    window.addEventListener('resize', () => this.fillWindow());
    this.followPage();
    this.fillWindow();
    this.resize();
  }

  /** Everything fits the window without scrolling, except on small screens, where the picture keeps its height. */
  fillWindow() {
    const top = this.view.root.getBoundingClientRect().top + window.scrollY;
    const isSmall = window.innerWidth < SMALL_WINDOW;
    this.view.root.style.height = isSmall ? '' : `${Math.max(420, Math.floor(window.innerHeight - top - spaceBelow(this.view.root)))}px`;
  }

  /** What stands around the reviewer comes late, and moves while it comes. */
  followPage() {
    const observer = new ResizeObserver(() => requestAnimationFrame(() => this.fillWindow()));
    for (let parent = this.view.root.parentElement; parent; parent = parent.parentElement) observer.observe(parent);
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.view.stage;
    const [width, height] = [Math.max(1, Math.round(clientWidth * ratio)), Math.max(1, Math.round(clientHeight * ratio))];
    if (width === this.viewport.width && height === this.viewport.height) return;
    this.viewport.resize(width, height, ratio);
    this.framing?.();
    this.renderer.resize(width, height);
    for (const canvas of [this.view.marks, this.view.top]) Object.assign(canvas, { width, height });
    this.paint();
  }

  paint() {
    this.renderer.paint();
    this.paintMarks();
    this.overlay.paint();
    this.view.showPartial(this.region !== null && this.region.kind !== 'control' && !this.viewport.holds(this.region.bbox));
  }

  paintMarks() {
    if (this.region && this.mode === 'class') this.marks.paint(this.renderer.image, this.region.number);
    else this.marks.clear();
  }

  /**
   * Open on a region as it was left, else as far in as the person zoomed into its image, where that shows all of the
   * region large enough to be judged, else at a third of the view. The person's zoom is kept for the next one.
   */
  show(image, row) {
    this.region = row;
    this.renderer.options.currentNumber = row.number;
    this.renderer.setImage(image);
    this.overlay.setRegion(image, row);
    this.viewport.setImage(image.width, image.height);
    const left = this.views.ofRegion(row.region_id);
    if (left) {
      this.viewport.restore(left);
      this.keepWhole();
    } else this.frameAs(() => this.viewport.openOn(row.bbox, this.wantedZoom(row)));
    this.updateDimming();
    this.showScores();
  }

  /** How far the person zoomed into the image of a region; null where that does not show the region well, or nobody did. */
  wantedZoom({ image_id: imageId, bbox }) {
    const { viewport } = this;
    const kept = this.views.zoomOf(imageId);
    if (kept === undefined) return null;
    const zoom = kept ?? viewport.fitScale / viewport.ratio;
    return viewport.canShow(bbox, zoom) ? zoom : null;
  }

  /** Frame the picture, now and whenever the window gets another size, until the person moves the view. */
  frameAs(frame) {
    this.framing = frame;
    frame();
  }

  /** What the person moved stays where it is; a whole image stays whole. */
  keepWhole() {
    this.framing = this.viewport.isWhole ? () => this.viewport.fit() : null;
  }

  /** How far down in the view the middle of the region is, 0 to 1. */
  regionShare() {
    if (!this.region) return 0.5;
    const { bbox: [x0, y0, x1, y1] } = this.region;
    return this.viewport.toScreen((x0 + x1) / 2, (y0 + y1) / 2)[1] / this.viewport.height;
  }

  clear() {
    this.region = null;
    this.framing = null;
    this.renderer.image = null;
    this.renderer.options.dimmed = null;
    this.marks.clear();
    this.overlay.clear();
  }

  /** The person panned or zoomed. Repaints once a frame. */
  moved() {
    this.keepWhole();
    if (this.region) this.views.keep(this.region, this.viewport.state);
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.paint();
    });
  }

  /** Around a point of the screen, or the middle of the view. */
  zoom(factor, at = null) {
    this.viewport.zoomAt(...(at ?? [this.viewport.width / 2, this.viewport.height / 2]), factor);
    this.moved();
  }

  /** Move the picture by a share of the view; to the right and down for positive ones. */
  pan(shareX, shareY) {
    const { viewport } = this;
    viewport.pan(-shareX * viewport.width, -shareY * viewport.height);
    this.moved();
  }

  toggleFit() {
    if (!this.region) return;
    const { bbox } = this.region;
    const { isFitted } = this.viewport;
    if (isFitted) this.viewport.openOn(bbox);
    else this.viewport.fit();
    this.moved();
    if (isFitted) this.framing = () => this.viewport.openOn(bbox);
  }

  apply() {
    Object.assign(this.renderer.options, { mode: this.mode, showBand: this.showBand, tables: buildTables(this.classes, this.opacity) });
    this.renderer.optionsChanged();
    this.onMode();
    this.paint();
  }

  setMode(mode) {
    this.mode = mode;
    this.apply();
    this.showScores();
  }

  /** The reliability mode shows the picture alone until the scores of its image are there. */
  async showScores() {
    const { image } = this.renderer;
    if (this.mode !== 'reliability' || !image || image.unreliability) return;
    try {
      await this.loadScores(image);
      if (this.renderer.image === image) this.paint();
    } catch (error) {
      if (this.renderer.image !== image) return;
      this.view.warn(`The reliability map could not be loaded. ${error.message}`, ['Try again', () => this.showScores()]);
    }
  }

  toggleMode(mode) {
    this.setMode(this.mode === mode ? 'class' : mode);
  }

  setOpacity(opacity) {
    this.opacity = opacity;
    this.apply();
  }

  nextOpacity() {
    this.setOpacity(OPACITIES[(OPACITIES.indexOf(this.opacity) + 1) % OPACITIES.length]);
  }

  /** Everything but the current region darker, or as it is. */
  toggleDimming() {
    this.isDimmed = !this.isDimmed;
    this.updateDimming();
    this.apply();
  }

  updateDimming() {
    this.renderer.options.dimmed = this.isDimmed ? this.overlay.path : null;
  }

  toggleBand() {
    this.showBand = !this.showBand;
    this.apply();
  }
}

/** What the page around an element leaves free below it, in CSS pixels. */
function spaceBelow(element) {
  let space = 0;
  for (let parent = element.parentElement; parent; parent = parent.parentElement) {
    const { paddingBottom, marginBottom, borderBottomWidth } = getComputedStyle(parent);
    space += parseFloat(paddingBottom) + parseFloat(marginBottom) + parseFloat(borderBottomWidth);
  }
  return space;
}

/** What marks a patch of a class: its key, or its number when there are more classes than keys. */
const letterOf = ({ id, key }) => (key ? key.replace('Shift+', '⇧') : `#${id}`);
