// Unpacks images beside the page, which stays free for keys and strokes.
import { unpackImage } from './planes.js';
import { unpackPlanes } from './wire.js';

const WORK = { image: unpackImage, planes: unpackPlanes };

self.addEventListener('message', async ({ data: { id, work, buffer } }) => {
  try {
    const result = await WORK[work](buffer);
    self.postMessage({ id, result }, [...new Set(Object.values(result.planes).map((plane) => plane.buffer))]);
  } catch (error) {
    self.postMessage({ id, message: error.message });
  }
});
