// The way to the same image in FiftyOne, where a sync has put it and the person may go there.
import { el } from './dom.js';
import { getExplorer } from './server.js';

export class ExplorerLink {
  constructor({ has_explorer: isSetUp }) {
    this.isSetUp = isSetUp;
    this.imageId = null;
    this.element = el('a', { class: 'ps-button ps-elsewhere', target: '_blank', rel: 'noopener', hidden: true }, 'See it in FiftyOne');
  }

  /** Another region is shown. */
  async show({ image_id: imageId }) {
    if (!this.isSetUp || imageId === this.imageId) return;
    this.imageId = imageId;
    this.element.hidden = true;
    const url = await getExplorer(imageId).catch(() => null); // Nobody's work waits for it.
    if (imageId !== this.imageId || url === null) return;
    this.element.href = url;
    this.element.hidden = false;
  }
}
