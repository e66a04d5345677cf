// Puts the reviewer into the element that its page gives it.
import { Reviewer } from './reviewer.js';
import { getSession } from './server.js';

export async function mount(element) {
  const root = document.createElement('div');
  element.replaceChildren(root);
  try {
    const reviewer = new Reviewer(root, await getSession());
    root.pixelsieve = reviewer;
    await reviewer.start();
  } catch (error) {
    root.dataset.error = error.message;
    root.textContent = `The reviewer could not start. ${error.message}`;
    throw error;
  }
}
