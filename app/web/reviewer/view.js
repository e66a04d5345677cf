// The reviewer's elements: toolbar, stage, side panel, strip, status line. Shows state, decides nothing.
import { el, grouped, kbd, percent } from './dom.js';
import { ClassFinder } from './class_finder.js';
import { buildHelp } from './help.js';
import { COMMANDS, chordOf, showChord } from './keymap.js';
import { leftText } from './left.js';
import { legendLines } from './legend.js';
import { Notice } from './notice.js';
import { cssColor } from './palette.js';

const TITLES = new Map(COMMANDS.map(({ id, title }) => [id, title]));
const ARIA_KEYS = { Space: 'Space', 'Ctrl+Z': 'Control+Z', 'Ctrl+Shift+Z': 'Control+Shift+Z' };
const TOOLS = { brush: 'Brush', eraser: 'Eraser', superpixels: 'Superpixels', polygon: 'Polygon', fill: 'Fill', flag: 'Flag' };
const TERM_TITLES = { 'Chance it is right': 'Corrected by what was measured on gold, where a calibration could be made. The percentages of the classes below are the model\'s own.' };
const STATE_TEXTS = { skipped: 'Skipped before', second_review: 'Not known: waits for second review' };
const FROM_SCRATCH = 'Label from scratch: draw all of it, Enter finishes the image';
const NEAR_EDGE = 0.4; // Of the view's height: boxes over the picture come up at the other edge then.
const SAVING_TEXTS = {
  saved: () => 'Saved',
  saving: (pending) => (pending > 1 ? `Saving ${pending}…` : 'Saving…'),
  offline: (pending) => `Offline: ${pending} waiting. Retry`,
  signed_out: (pending) => `Signed out: ${pending} waiting. Sign in`,
  elsewhere: (pending) => `Another workspace is open: ${pending} waiting. Retry`,
  error: (pending) => `Not saved: ${pending} waiting. Retry`,
};

export class View {
  /** `run(command)` and `choose(classId)` are called for clicks. */
  constructor(root, session, run, choose) {
    Object.assign(this, { root, session, run, choose });
    this.classes = new Map(session.classes.map((each) => [each.id, each]));
    this.buttons = new Map();
    this.base = el('canvas', { class: 'ps-base' });
    this.marks = el('canvas', { class: 'ps-marks' });
    this.top = el('canvas', { class: 'ps-top' });
    this.empty = el('div', { class: 'ps-empty', hidden: true });
    this.offer = el('div', { class: 'ps-offer', role: 'status', hidden: true });
    this.chip = el('div', { class: 'ps-chip' });
    this.partial = el('div', { class: 'ps-partial', role: 'status', hidden: true }, 'Not all of this region is in view. ', kbd('0'), ' shows all.');
    this.stage = el('div', {
      class: 'ps-stage', tabindex: '0', role: 'application', 'aria-label': 'Region to review. Press question mark for the keys.',
    }, this.base, this.marks, this.top);
    this.regionShare = () => 0.5; // How far down in the view the region is; set by what knows.
    this.notice = new Notice(this.stage, () => this.regionShare() < NEAR_EDGE);
    this.status = el('div', { class: 'ps-status', role: 'status', 'aria-live': 'polite' });
    this.saveState = el('button', { class: 'ps-save', type: 'button', onclick: () => run('retry') });
    this.left = el('span', { class: 'ps-left' });
    this.strip = el('div', { class: 'ps-strip', role: 'group', 'aria-label': 'Decisions' });
    this.facts = el('dl', { class: 'ps-facts' });
    this.finder = new ClassFinder(session.classes, (id) => this.choose(id), () => this.focus());
    this.help = buildHelp(session.classes, () => this.focus());
    root.classList.add('ps');
    root.replaceChildren(
      this.buildToolbar(),
      el('div', { class: 'ps-main' },
        el('div', { class: 'ps-frame' }, this.stage, el('div', { class: 'ps-signs' }, this.chip, this.partial), this.offer, this.notice.element, this.empty,
          el('div', { class: 'ps-loading', role: 'status' }, 'Loading the picture…'),
          el('div', { class: 'ps-unfocused', 'aria-hidden': 'true' }, 'Click the picture to use the keys')),
        this.buildSide()),
      this.strip, el('div', { class: 'ps-foot' }, this.status, this.left, this.saveState), this.help, this.finder.dialog,
    );
  }

  /** A button for a command; `shownKey` false leaves the key to tooltip and help. */
  button(id, text, extra = {}, shownKey = true) {
    const chord = chordOf(id);
    const button = el('button', {
      type: 'button', class: 'ps-button', title: `${TITLES.get(id) ?? text}${chord ? ` (${showChord(chord)})` : ''}`, 'data-command': id,
      'aria-keyshortcuts': chord && (ARIA_KEYS[chord] ?? chord), onclick: () => this.clicked(() => this.run(id)), ...extra,
    }, el('span', {}, text), chord && shownKey ? kbd(showChord(chord)) : null);
    this.buttons.set(id, button);
    return button;
  }

  /** After a click the keys work again at once; a button reached with Tab keeps the focus. */
  clicked(action) {
    this.notice.dropQuestion();
    if (!document.activeElement?.matches(':focus-visible')) this.stage.focus({ preventScroll: true });
    action();
  }

  buildToolbar() {
    const toggle = { 'aria-pressed': 'false' };
    this.opacity = el('input', {
      type: 'range', min: '10', max: '90', step: '5', 'aria-label': 'Overlay opacity', oninput: () => this.run('opacity_input'),
    });
    this.size = el('span', { class: 'ps-size', title: 'Brush size in pixels' });
    const group = (label, ...children) => el('div', { class: 'ps-group', role: 'group', 'aria-label': label }, ...children);
    const bar = el('div', { class: 'ps-bar', role: 'toolbar', 'aria-label': 'View and tools' },
      group('Mode', this.button('show_class', 'Classes', toggle), this.button('reliability', 'Reliability', toggle),
        this.button('difference', 'Changes', toggle), this.button('hide', 'Image', toggle)),
      group('Overlay', this.button('opacity', 'Opacity'), this.opacity, this.button('band', 'Band', toggle),
        this.button('dim', 'Dim', toggle)),
      group('Zoom and help', this.button('fit', 'Fit'), this.button('help', 'Keys')),
      group('Draw', ...Object.entries(TOOLS).map(([id, text]) => this.button(id, text, toggle)),
        this.button('smaller', '−'), this.size, this.button('larger', '+'), this.button('unlock', 'Locked', { 'aria-pressed': 'true' })),
      group('History', this.button('undo', 'Undo'), this.button('redo', 'Redo')));
    this.drawGroups = [...bar.querySelectorAll('[aria-label=Draw], [aria-label=History]')];
    return makeRoving(bar);
  }

  buildSide() {
    const rows = this.session.classes.map(({ id, name, color, key }) => el('button', {
      type: 'button', class: 'ps-class', title: name, 'data-class': id, 'aria-keyshortcuts': key, onclick: () => this.clicked(() => this.choose(id)),
    }, swatch(color), el('span', { class: 'ps-name', dir: 'auto' }, name), kbd(key ? showChord(key) : `#${id}`)));
    this.classButtons = new Map(rows.map((row) => [Number(row.dataset.class), row]));
    this.classList = el('div', { class: 'ps-classes' }, ...rows);
    this.legend = el('ul', { class: 'ps-legend' });
    return el('aside', { class: 'ps-side', 'aria-label': 'Region and classes' },
      el('h2', {}, 'Region'), this.facts, el('div', { class: 'ps-heading' }, el('h2', {}, 'Classes'), this.button('find_class', 'Find')), this.classList,
      el('h2', {}, 'Legend'), this.legend,
      this.button('accept_rest', 'Accept the rest of this image', {}, false));
  }

  /** Another button or link of the side panel, with the dialog that it opens. */
  addToSide(button, dialog = null) {
    this.facts.after(button);
    if (dialog) this.root.append(dialog);
  }

  /** What would change something looks as if it could not be used; it says why when it is tried. */
  showReadOnly(isReadOnly) {
    this.setUsable(!isReadOnly, [this.strip, this.classList, ...this.drawGroups]);
    this.root.dataset.readonly = String(isReadOnly);
  }

  setUsable(isUsable, parts) {
    for (const button of [...parts.flatMap((part) => [...part.querySelectorAll('button')]), this.buttons.get('accept_rest')]) {
      if (isUsable) button.removeAttribute('aria-disabled');
      else button.setAttribute('aria-disabled', 'true');
    }
  }

  showPartial(isPartial) {
    this.partial.hidden = !isPartial;
  }

  /** Something that lies over the upper edge of the picture. */
  showOver(banner) {
    this.stage.parentElement.append(banner);
  }

  /** `decided` holds the class ids that people gave a decided region, the most frequent first; otherwise it is empty. */
  showRegion({ row, top_classes: topClasses }, decided = []) {
    const isFromScratch = row.kind === 'control';
    const name = this.classes.get(row.class_id)?.name ?? 'void';
    const said = isFromScratch ? [['Label', 'from scratch']] : [[row.kind === 'flagged' ? 'Said to be' : 'Model says', name], ['Chance it is right', percent(row.mean_confidence)]];
    this.facts.replaceChildren(...[['Image', row.image_name], ...said, ['Area', `${grouped(row.area)}\u00a0px`]]
      .map(([term, text]) => el('div', { title: TERM_TITLES[term] ?? null }, el('dt', {}, term), el('dd', {}, text))));
    this.chip.replaceChildren(...(decided.length > 0 ? this.decided(row, decided) : [isFromScratch ? FROM_SCRATCH : STATE_TEXTS[row.state] ?? '']));
    this.strip.replaceChildren(...(isFromScratch ? this.scratchDecisions() : this.decisions(name, topClasses)));
    this.root.dataset.scratch = String(isFromScratch);
    this.empty.hidden = true;
  }

  /** For the chip: what was decided. */
  decided(row, [first, ...others]) {
    const known = this.classes.get(first);
    const name = known?.name ?? 'void';
    const what = others.length > 0 ? `drawn, ${name} and ${others.length === 1 ? '1 other class' : `${others.length} other classes`}`
      : first === row.class_id ? `${name}, as the model says` : name;
    return ['Decided: ', ...(known ? [swatch(known.color)] : []), el('strong', {}, what), '. A new decision replaces it.'];
  }

  decisions(name, topClasses) {
    return [
      el('div', { class: 'ps-first' }, this.decision('commit', 'Finish region', 'ps-accept', 'ps-drawing'), this.decision('accept', `Accept ${name}`, 'ps-accept', 'ps-deciding')),
      el('div', { class: 'ps-top5', role: 'group', 'aria-label': 'Likeliest classes' }, ...topClasses.map((each) => this.likely(each)), this.sizer()),
      el('div', { class: 'ps-last' }, this.decision('void', 'Void'), this.decision('cancel', 'Cancel', 'ps-drawing'),
        this.decision('dont_know', "Don't know", 'ps-deciding'), this.decision('skip', 'Skip', 'ps-deciding'))];
  }

  /** Nothing to accept, and no class is likelier than another: void is one more class to draw. */
  scratchDecisions() {
    const drawVoid = this.decision('void', 'Draw void');
    drawVoid.title = 'Draw void: what belongs to no class (X)';
    return [this.decision('commit', 'Finish image', 'ps-accept'), drawVoid, this.decision('skip', 'Skip')];
  }

  /** A button of the strip; `ps-deciding` ones show without a tool, `ps-drawing` ones with one, and while strokes are not finished. */
  decision(id, text, ...classes) {
    const button = this.button(id, text);
    button.classList.add('ps-decision', ...classes);
    return button;
  }

  /** Keeps the strip as high as the longest name needs, so that the picture has one size for all regions. */
  sizer() {
    const longest = this.session.classes.reduce((name, each) => (each.name.length > name.length ? each.name : name), '');
    return el('div', { class: 'ps-sizer', 'aria-hidden': 'true' }, el('span', {}, '\u00a0'), el('span', { class: 'ps-name' }, longest));
  }

  likely({ class_id: id, probability }) {
    const { name, color, key } = this.classes.get(id);
    const bar = el('span', { class: 'ps-meter' });
    bar.style.setProperty('--share', probability);
    bar.style.setProperty('--hue', cssColor(color));
    return el('button', {
      type: 'button', class: 'ps-likely', 'data-class': id, title: `${name}: the model's own probability, before it is corrected by what gold showed`, 'aria-label': `Relabel as ${name}, ${percent(probability)}`, 'aria-keyshortcuts': key,
      onclick: () => this.clicked(() => this.choose(id)),
    }, kbd(key ? showChord(key) : `#${id}`), swatch(color), el('span', { class: 'ps-name', dir: 'auto' }, name), el('span', { class: 'ps-percent' }, percent(probability)), bar);
  }

  showModes({ mode, tool, showBand, unlocked, brushClass, sizeText, opacity, isClosing, isDimmed }) {
    const pressed = { show_class: mode === 'class', reliability: mode === 'reliability', difference: mode === 'difference',
      hide: mode === 'image', band: showBand, dim: isDimmed, unlock: !unlocked };
    for (const id of Object.keys(TOOLS)) pressed[id] = tool === id;
    for (const [id, isPressed] of Object.entries(pressed)) this.buttons.get(id).setAttribute('aria-pressed', String(isPressed));
    this.buttons.get('unlock').firstChild.textContent = unlocked ? 'Unlocked' : 'Locked';
    this.buttons.get('unlock').classList.toggle('ps-warning', unlocked);
    this.legend.replaceChildren(...legendLines(mode, showBand));
    this.legend.classList.toggle('ps-columns', mode === 'class');
    this.size.textContent = sizeText ?? '–';
    for (const id of ['smaller', 'larger']) this.buttons.get(id).disabled = sizeText === null;
    const commit = this.strip.querySelector('[data-command=commit] span');
    if (commit) commit.textContent = isClosing ? 'Close polygon' : this.root.dataset.scratch === 'true' ? 'Finish image' : 'Finish region';
    this.opacity.value = String(Math.round(opacity * 100));
    const hasClass = tool !== null && tool !== 'eraser' && tool !== 'flag';
    for (const [id, button] of this.classButtons) button.classList.toggle('ps-chosen', hasClass && id === brushClass);
    Object.assign(this.root.dataset, { mode, tool: tool ?? 'none', locked: String(!unlocked) });
  }

  showSaving({ state, pending, message }) {
    const text = SAVING_TEXTS[state](pending);
    const isWaiting = state !== 'saved' && state !== 'saving';
    this.saveState.textContent = text;
    this.saveState.title = isWaiting ? `${message} Your decisions are kept in this browser and sent again.` : text;
    this.saveState.disabled = !isWaiting;
    Object.assign(this.root.dataset, { saving: state, pending: String(pending) });
  }

  showCounts(counts) {
    this.left.textContent = leftText(this.session.user, counts);
  }

  say(text) {
    this.status.textContent = text;
  }

  /** A sentence that stays until it is answered; `actions` are [text, callback]. */
  warn(text, ...actions) {
    this.notice.tell(text, ...actions);
  }

  /** After a dialog: what waits for an answer comes first. */
  focus() {
    (this.notice.isAsking ? this.notice.element : this.stage).focus({ preventScroll: true });
  }

  /** Something that may be done or left; `commands` are [id, text, key]. With `isAsking` nothing else can be done first. */
  showOffer(text, commands, isAsking = false) {
    this.offer.replaceChildren(el('span', {}, text), ...commands.map(([id, label, key]) => {
      const button = this.button(id, label, key && { 'aria-keyshortcuts': key });
      if (key) button.append(kbd(showChord(key)));
      return button;
    }));
    this.offer.classList.toggle('ps-high', !isAsking && this.regionShare() > 1 - NEAR_EDGE);
    this.offer.hidden = false;
    this.setAsking(isAsking);
  }

  hideOffer() {
    this.offer.hidden = true;
    this.setAsking(false);
  }

  setAsking(isAsking) {
    for (const part of [this.strip, this.classList, ...this.drawGroups]) part.inert = isAsking;
  }

  /** `actions` are [text, address or callback]. */
  showEmpty(title, text, ...actions) {
    const buttons = actions.map(([label, target]) => (typeof target === 'string' ? el('a', { href: target, class: 'ps-button' }, label)
      : el('button', { type: 'button', class: 'ps-button', onclick: target }, label)));
    this.empty.replaceChildren(el('h2', {}, title), el('p', {}, text), ...buttons);
    this.empty.hidden = false;
    this.strip.replaceChildren();
    this.facts.replaceChildren();
    this.chip.textContent = '';
    this.partial.hidden = true;
    this.setUsable(false, [this.classList, this.drawGroups[0]]); // Undo can bring something back.
  }
}

function swatch(color) {
  const element = el('i', { class: 'ps-swatch' });
  element.style.background = cssColor(color);
  return element;
}

/** One Tab stop for the whole toolbar; arrow keys move inside. */
function makeRoving(bar) {
  const buttons = [...bar.querySelectorAll('button, input')];
  buttons.forEach((button, index) => { button.tabIndex = index === 0 ? 0 : -1; });
  bar.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || event.target.type === 'range') return;
    event.preventDefault();
    event.stopPropagation();
    const enabled = buttons.filter((button) => !button.disabled && button.offsetParent !== null);
    const next = enabled[(enabled.indexOf(event.target) + step + enabled.length) % enabled.length];
    buttons.forEach((button) => { button.tabIndex = button === next ? 0 : -1; });
    next.focus();
  });
  return bar;
}
