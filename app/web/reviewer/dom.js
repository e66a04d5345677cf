// Building elements. Text is always set as text, so that no class, file or user name can become markup.

/** el('button', {class: 'x', onclick: f, 'aria-label': 'Go'}, 'text', child) */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export const kbd = (text) => el('kbd', { 'aria-hidden': 'true' }, text);

/** A count with separators, as people here write it: 2,459,505. */
export const grouped = (count) => count.toLocaleString();

export const percent = (share) => `${Math.round(share * 100)} %`;
