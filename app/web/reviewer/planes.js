// From the body that the server sends to the planes of one image as it is now. Runs in a worker: large images take a while.
import { findAnchors } from './anchors.js';
import { HUMAN, PSEUDO, UNTOUCHED } from './image_state.js';
import { unpackPlanes } from './wire.js';

/** {header, planes: {proposal, reliable, regions, label, provenance}, anchors}. */
export async function unpackImage(buffer) {
  const { header, planes } = await unpackPlanes(buffer);
  const { proposal, reliable, regions, decided } = planes;
  const label = proposal.slice();
  const provenance = baseProvenance(reliable);
  if (decided) {
    const { bbox } = header.planes.find(({ name }) => name === 'decided');
    applyDecided(decided, bbox, header.width, label, provenance);
  }
  return { header, planes: { proposal, reliable, regions, label, provenance }, anchors: findAnchors(regions, header.width) };
}

/** Before anybody decided: pseudo where reliable, else unreviewed, which is 0. Four pixels at a time. */
function baseProvenance(reliable) {
  const provenance = reliable.slice();
  const words = new Uint32Array(provenance.buffer, 0, provenance.length >> 2);
  for (let i = 0; i < words.length; i++) words[i] *= PSEUDO; // Every byte is 0 or 1.
  for (let p = words.length << 2; p < provenance.length; p++) provenance[p] *= PSEUDO;
  return provenance;
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
