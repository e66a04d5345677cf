// The binary form in which planes travel between server and browser; app/web/wire.py is its other half.
// A body is: header length (4 bytes, little endian), header (JSON), then deflated planes one after another.
// "rle" planes hold row-major runs, each of two variable-length integers: value and length.

const LENGTH_BYTES = 4;
const SHORT_RUN = 24; // Pixels; calling fill costs more than writing so few.

async function through(stream, bytes) {
  const writer = stream.writable.getWriter();
  const written = writer.write(bytes).then(() => writer.close());
  const [buffer] = await Promise.all([new Response(stream.readable).arrayBuffer(), written]);
  return new Uint8Array(buffer);
}

export const inflate = (bytes) => through(new DecompressionStream('deflate'), bytes);
export const deflate = (bytes) => through(new CompressionStream('deflate'), bytes);

/** Collects (value, length) runs as variable-length integers. */
export class RunWriter {
  constructor() {
    this.out = new Uint8Array(256);
    this.size = 0;
    this.value = 0;
    this.length = 0;
  }

  /** `length` more pixels of `value`. */
  add(value, length) {
    if (value === this.value) {
      this.length += length;
      return;
    }
    this.flush();
    this.value = value;
    this.length = length;
  }

  flush() {
    if (this.length === 0) return;
    this.push(this.value);
    this.push(this.length);
    this.length = 0;
  }

  push(number) {
    if (this.size + 5 > this.out.length) {
      const grown = new Uint8Array(this.out.length * 2);
      grown.set(this.out);
      this.out = grown;
    }
    while (number > 127) {
      this.out[this.size++] = (number & 127) | 128;
      number >>>= 7;
    }
    this.out[this.size++] = number;
  }

  /** All of them; nothing may be added any more. */
  bytes() {
    this.flush();
    return this.out.slice(0, this.size);
  }
}

/** Row-major (value, length) runs of a typed array. */
export function encodeRuns(plane) {
  const runs = new RunWriter();
  for (const value of plane) runs.add(value, 1);
  return runs.bytes();
}

const LARGEST_BLOCK = 65535;
const ADLER = 65521;
const ADLER_STEPS = 5552; // So many sums stay below 2**32.

/** Bytes as a deflate stream that stores them as they are: made at once, so that strokes are saved in their order. */
export function wrap(bytes) {
  const blocks = Math.max(1, Math.ceil(bytes.length / LARGEST_BLOCK));
  const out = new Uint8Array(2 + 5 * blocks + bytes.length + 4);
  const view = new DataView(out.buffer);
  out.set([0x78, 0x01]);
  let at = 2;
  for (let start = 0; start === 0 || start < bytes.length; start += LARGEST_BLOCK) {
    const block = bytes.subarray(start, start + LARGEST_BLOCK);
    out[at] = start + LARGEST_BLOCK >= bytes.length ? 1 : 0;
    view.setUint16(at + 1, block.length, true);
    view.setUint16(at + 3, ~block.length & 0xffff, true);
    out.set(block, at + 5);
    at += 5 + block.length;
  }
  view.setUint32(at, adler32(bytes));
  return out;
}

function adler32(bytes) {
  let [a, b] = [1, 0];
  for (let start = 0; start < bytes.length; start += ADLER_STEPS) {
    for (const byte of bytes.subarray(start, start + ADLER_STEPS)) {
      a += byte;
      b += a;
    }
    a %= ADLER;
    b %= ADLER;
  }
  return (b * 65536 + a) >>> 0;
}

/** Fill `plane` from its runs; throws when they do not fill it exactly. */
export function decodeRuns(bytes, plane) {
  let at = 0;
  let pixel = 0;
  const next = () => {
    let number = 0;
    let shift = 0;
    for (;;) {
      if (at >= bytes.length) throw new Error('A plane from the server is cut off. Reload the page.');
      const byte = bytes[at++];
      number |= (byte & 127) << shift;
      if (byte < 128) return number >>> 0;
      shift += 7;
    }
  };
  while (at < bytes.length) {
    const value = next();
    const end = pixel + next();
    if (end - pixel > SHORT_RUN) plane.fill(value, pixel, end);
    else for (let p = pixel; p < end; p++) plane[p] = value;
    pixel = end;
  }
  if (pixel !== plane.length) throw new Error(`A plane from the server holds ${pixel} of ${plane.length} pixels. Reload the page.`);
  return plane;
}

function splitFrame(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, LENGTH_BYTES, length)));
  return [header, LENGTH_BYTES + length];
}

const pixelsOf = ([x0, y0, x1, y1]) => (x1 - x0) * (y1 - y0);

/** {header, planes: {name: Uint8Array | Uint16Array}} of a body with width and height in its header; a plane with a bbox covers that box. */
export async function unpackPlanes(buffer) {
  const [header, start] = splitFrame(buffer);
  let offset = start;
  const jobs = header.planes.map(async (described) => {
    const bytes = new Uint8Array(buffer, offset, described.length);
    offset += described.length;
    const content = await inflate(bytes);
    const Type = described.dtype === 'u16' ? Uint16Array : Uint8Array;
    const pixels = pixelsOf(described.bbox ?? [0, 0, header.width, header.height]);
    const plane = described.encoding === 'rle'
      ? decodeRuns(content, new Type(pixels))
      : new Type(content.buffer, content.byteOffset, pixels);
    return [described.name, plane];
  });
  return { header, planes: Object.fromEntries(await Promise.all(jobs)) };
}

/** Header and parts in one body. */
export function packFrame(header, parts = []) {
  const encoded = new TextEncoder().encode(JSON.stringify(header));
  const body = new Uint8Array(LENGTH_BYTES + encoded.length + parts.reduce((sum, part) => sum + part.length, 0));
  new DataView(body.buffer).setUint32(0, encoded.length, true);
  body.set(encoded, LENGTH_BYTES);
  let offset = LENGTH_BYTES + encoded.length;
  for (const part of parts) {
    body.set(part, offset);
    offset += part.length;
  }
  return body;
}

export function toBase64(bytes) {
  let text = '';
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}

export const fromBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
