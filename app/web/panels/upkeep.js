// Backups, snapshots and deleted images: what brings a workspace back.
import { getJson, post } from '../reviewer/server.js';
import { ask } from './dialog.js';
import { el, moment } from './dom.js';
import { ended, progressLine } from './job_follow.js';

const table = (caption, names, rows) => el('table', { class: 'pp-table' }, el('caption', {}, caption),
  el('thead', {}, el('tr', {}, ...names.map((name) => el('th', { scope: 'col', class: 'pp-text' }, name)))), el('tbody', {}, ...rows));
const row = (name, ...cells) => el('tr', {}, el('th', { scope: 'row' }, name), ...cells.map((content) => el('td', { class: 'pp-text' }, content)));
const muted = (text) => el('p', { class: 'pp-muted' }, text);

/** `done(said)` is called with what happened, `fail(text)` with what did not. */
export class Upkeep {
  constructor(done, fail) {
    this.done = done;
    this.fail = fail;
    this.progress = el('div', { role: 'status' });
    this.start = el('button', { type: 'button', class: 'pp-primary', onclick: () => this.backUp() }, 'Back up now');
    this.lists = el('div', {});
    this.element = el('section', { id: 'upkeep', 'aria-labelledby': 'upkeep-heading' },
      el('h2', { id: 'upkeep-heading' }, 'Backups and deleted images'), el('div', { class: 'pp-row' }, this.start, this.progress), this.lists);
  }

  async refresh() {
    const [{ backups }, { snapshots }, { images }] = await Promise.all(['backups', 'snapshots', 'deleted'].map((path) => getJson(`/api/${path}`)));
    this.lists.replaceChildren(
      backups.length ? table('Backups', ['Name', 'Made', 'Size', ''], backups.map(drawBackup)) : muted('No backup was made from this page yet. Keep backups on another disk, too.'),
      snapshots.length ? table('Snapshots', ['Number', 'Taken', 'Before', 'Who or what', 'Images', 'Actions'], snapshots.map(drawSnapshot)) : muted('No snapshot yet: one is taken before every import and training round.'),
      ...(snapshots.length ? [el('p', { class: 'pp-muted' }, 'Going back to a snapshot stops everybody\'s work, so it is done in a terminal: ', el('code', {}, 'pixelsieve snapshots restore NUMBER'))] : []),
      images.length ? table('Deleted images', ['Image', 'Was', 'Deleted', 'Files', ''], images.map((image) => this.drawDeleted(image))) : muted('No image is deleted.'));
  }

  drawDeleted({ sample_id: id, image_name: name, role, deleted_at: deletedAt, purged_at: purgedAt }) {
    const back = el('button', { type: 'button', onclick: () => this.bringBack(id, name), 'aria-label': `Bring ${name} back` }, 'Bring back');
    return row(name, role, moment(deletedAt), purgedAt ? `removed for good ${moment(purgedAt)}` : 'stay', purgedAt ? '' : back);
  }

  async bringBack(id, name) {
    try {
      await post('/api/deleted/restore', { names: [id] });
      await this.done(`${name} is back, with all decisions about it.`);
    } catch (error) {
      this.fail(error.message);
    }
  }

  async backUp() {
    const name = el('input', { required: true, maxlength: 64, value: `backup-${stamp(new Date())}`, autocomplete: 'off', spellcheck: 'false' });
    let job = null;
    await ask('Back up the whole workspace?', [
      el('p', {}, 'Everything goes into one file on the server, and is read back before it counts. Everybody can go on working.'),
      el('label', { class: 'pp-field' }, el('span', {}, 'Name'), name)], 'Back up', async () => {
      job = (await post('/api/backups', { name: name.value })).job_id;
      return '';
    });
    if (job !== null) await this.follow(job);
  }

  /** Show a job until it has ended. */
  async follow(id) {
    this.start.disabled = true;
    try {
      const job = await ended(id, (now) => this.progress.replaceChildren(...progressLine(now, 'Progress of the backup', 'makes a backup', this.fail)));
      if (job.state === 'succeeded') await this.done(`The backup ${job.result.path} is made and was read back: ${size(job.result.num_bytes)}.`);
      else this.fail(job.error ?? 'The backup was cancelled; nothing is left of it.');
    } catch (error) {
      this.fail(error.message);
    }
    this.start.disabled = false;
    this.progress.replaceChildren();
  }
}

const drawBackup = ({ name, num_bytes: bytes, created_at: madeAt }) => row(name, moment(madeAt), size(bytes),
  el('a', { class: 'pp-button', href: `/api/backups/${encodeURIComponent(name)}/download`, download: `${name}.zip`, 'aria-label': `Download ${name}` }, 'Download'));

const drawSnapshot = ({ number, created_at: takenAt, reason, made_by: by, images, decisions }) =>
  row(String(number), moment(takenAt), reason, by, String(images), String(decisions));

const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`);

const stamp = (time) => {
  const two = (number) => String(number).padStart(2, '0');
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}-${two(time.getHours())}${two(time.getMinutes())}`;
};
