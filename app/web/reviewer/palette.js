// Colours of the overlay as packed RGBA words, one table per visual channel (see docs: one channel, one meaning).

export const VOID_ID = 255;
export const VOID_COLOR = '#777'; // Where a pattern would be too fine.
const RELIABILITY_HUE = [126, 34, 206]; // One purple hue: far from every default class colour.

const pack = (r, g, b, a) => ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;
const mix = (channel, target, share) => Math.round(channel + (target - channel) * share);

/** The same colour moved towards white (share > 0) or black (share < 0). */
function shade([r, g, b], share) {
  const target = share > 0 ? 255 : 0;
  const amount = Math.abs(share);
  return [mix(r, target, amount), mix(g, target, amount), mix(b, target, amount)];
}

/** Lookup tables for one opacity; ids without a class stay transparent. */
export function buildTables(classes, opacity) {
  const alpha = Math.round(opacity * 255);
  const tables = {
    plain: new Uint32Array(256), hatchLight: new Uint32Array(256), hatchDark: new Uint32Array(256),
    strong: new Uint32Array(256), reliability: new Uint32Array(256),
    voidLine: pack(40, 40, 40, Math.min(255, alpha + 120)), voidFill: pack(175, 175, 175, Math.min(255, alpha + 25)),
    dash: pack(20, 20, 24, 200), dashGap: pack(255, 255, 255, 170),
    verified: pack(255, 255, 255, 245), casing: pack(20, 20, 24, 150), dot: pack(20, 20, 24, 190),
  };
  for (const { id, color } of classes) {
    tables.plain[id] = pack(...color, alpha);
    tables.hatchLight[id] = pack(...shade(color, 0.45), Math.min(255, Math.round(alpha * 1.15)));
    tables.hatchDark[id] = pack(...shade(color, -0.35), Math.min(255, Math.round(alpha * 1.15)));
    tables.strong[id] = pack(...color, Math.min(255, Math.round(alpha * 1.5) + 60));
  }
  tables.strong[VOID_ID] = pack(90, 90, 90, 220);
  const strength = Math.min(1, 0.35 + opacity);
  for (let value = 0; value < 256; value++) {
    tables.reliability[value] = pack(...RELIABILITY_HUE, Math.round(value * strength));
  }
  return tables;
}

export const cssColor = ([r, g, b]) => `rgb(${r} ${g} ${b})`;
