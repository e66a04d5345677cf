// Every request that the reviewer makes. Failures carry the server's sentence and its status.
import { ImageState } from './image_state.js';
import { unpack } from './unpacking.js';

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }

  /** Whether sending the same again later can work; with 401 after signing in, with 421 when the workspace is back. */
  get isTemporary() {
    return [0, 401, 408, 421, 429].includes(this.status) || this.status >= 500;
  }
}

export const UNREACHABLE = 'The server cannot be reached. Check the connection, or ask whoever runs Pixelsieve here.';

/** Says 'back' when the server answers after it could not be reached. */
export const connection = new EventTarget();
let isLost = false;

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: 'same-origin', cache: 'no-cache', ...options });
  } catch {
    isLost = true;
    throw new ApiError(UNREACHABLE, 0);
  }
  if (isLost) {
    isLost = false;
    connection.dispatchEvent(new Event('back'));
  }
  if (response.ok) return response;
  const content = await response.json().catch(() => ({}));
  throw new ApiError(inLocalTime(content) ?? `The server answered ${response.status}.`, response.status);
}

/** A refusal's sentence. It names a time in UTC, which a field repeats; people read all times in their own. */
export function inLocalTime({ error, decided_at: time }) {
  if (!error || !time) return error;
  return error.replace(`${new Date(time).toISOString().slice(11, 16)} UTC`, new Date(time).toLocaleTimeString([], { timeStyle: 'short' }));
}

export const getJson = async (path) => (await request(path)).json();

export const getSession = () => getJson('/api/session');
export const getQueue = (query) => getJson(`/api/queue?${new URLSearchParams(query)}`);
export const getRegion = (id) => getJson(`/api/regions/${id}`);

/**
 * POST a JSON object, or a binary frame when given bytes; returns the JSON answer. With an owner the server refuses it
 * when it serves another workspace by now, or when somebody else has signed in.
 */
export async function post(path, content, owner = null) {
  const isBinary = content instanceof Uint8Array;
  const response = await request(path, {
    method: 'POST',
    headers: {
      'Content-Type': isBinary ? 'application/octet-stream' : 'application/json',
      ...(owner && { 'X-Pixelsieve-Workspace': owner.workspaceId, 'X-Pixelsieve-User': encodeURIComponent(owner.user) }),
    },
    body: isBinary ? content : JSON.stringify(content),
    signal: AbortSignal.timeout(30000),
  });
  return response.json();
}

export const getComments = async (imageId) => (await getJson(`/api/images/${imageId}/comments`)).comments;
export const postComment = (imageId, content, owner) => post(`/api/images/${imageId}/comments`, content, owner);

export const getExplorer = async (imageId) => (await getJson(`/api/images/${imageId}/explorer`)).url;

/** Picture and planes of one image as they travel: small, and fetched well before they are needed. */
export async function fetchImage(id) {
  const [picture, planes] = await Promise.all([
    request(`/api/images/${id}/picture`).then((response) => response.blob()),
    request(`/api/images/${id}/planes`).then((response) => response.arrayBuffer()),
  ]);
  return { picture, planes };
}

/** What `fetchImage` found, ready to be shown: large. It can be unpacked once. */
export async function unpackImage({ picture, planes }) {
  const [bitmap, unpacked] = await Promise.all([
    createImageBitmap(picture, { imageOrientation: 'none', colorSpaceConversion: 'none' }), unpack('image', planes),
  ]);
  return new ImageState(unpacked, bitmap);
}

/** What may have changed in a box of an image, as {header, planes}. */
export async function getPatch(id, [x0, y0, x1, y1]) {
  const response = await request(`/api/images/${id}/patch?${new URLSearchParams({ x0, y0, x1, y1 })}`);
  return unpack('planes', await response.arrayBuffer());
}

/** One tile of superpixel numbers, as {header, planes: {numbers}}. Browsers keep it: it depends on the picture alone. */
export async function getSuperpixels(id, level, column, row) {
  const response = await request(`/api/images/${id}/superpixels?${new URLSearchParams({ level, column, row })}`, { cache: 'default' });
  return unpack('planes', await response.arrayBuffer());
}

export const getHistory = () => getJson('/api/history?limit=200');
export const getLookalikes = async (regionId) => (await getJson(`/api/regions/${regionId}/lookalikes`)).rows;

/** How unsure the model is, 0-255 by pixel. */
export async function getUnreliability(id) {
  const response = await request(`/api/images/${id}/unreliability`);
  const { planes } = await unpack('planes', await response.arrayBuffer());
  return planes.unreliability;
}
