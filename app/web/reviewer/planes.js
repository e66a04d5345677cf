// From the body that the server sends to the planes of one image as it is now. Runs in a worker: large images take a while.
import { findAnchors } from './anchors.js';
import { HUMAN, PSEUDO, UNTOUCHED } from './image_state.js';
import { unpackPlanes } from './wire.js';

/** {header, planes: {proposal, reliable, regions, label, provenance}, anchors}. */
export async function unpackImage(buffer) {
  const { header, planes } = await unpackPlanes(buffer);
  const { proposal, reliable, regions, decided } = planes;
  const label = proposal.slice();
  const provenance = reliable.map((isReliable) => isReliable * PSEUDO); // Else unreviewed, 0.
  if (decided) {
    const { bbox } = header.planes.find(({ name }) => name === 'decided');
    applyDecided(decided, bbox, header.width, label, provenance);
  }
  return { header, planes: { proposal, reliable, regions, label, provenance }, anchors: findAnchors(regions, header.width) };
}

function applyDecided(decided, [x0, y0, x1, y1], width, label, provenance) {
  let at = 0;
  for (let y = y0; y < y1; y++) {
    for (let p = y * width + x0; p < y * width + x1; p++, at++) {
      if (decided[at] === UNTOUCHED) continue;
      label[p] = decided[at];
      provenance[p] = HUMAN;
    }
  }
}
