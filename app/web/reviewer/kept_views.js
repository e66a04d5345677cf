// How the person left each region's view, and how far they zoomed into each image. Survives a reload of this tab.

const MOST_KEPT = 200;

export class KeptViews {
  constructor(name) {
    this.name = name;
    const { regions, zooms } = read(name);
    this.regions = new Map(regions); // region id -> state of the viewport
    this.zooms = new Map(zooms); // image id -> scale in CSS pixels per image pixel, null for the whole image
  }

  ofRegion(regionId) {
    return this.regions.get(regionId);
  }

  zoomOf(imageId) {
    return this.zooms.get(imageId);
  }

  /** The person moved the view of a region. */
  keep({ region_id: regionId, image_id: imageId }, state) {
    putLast(this.regions, regionId, state);
    putLast(this.zooms, imageId, state.isWhole ? null : state.scale);
    this.timer ??= setTimeout(() => this.write(), 200); // Not with every frame of a drag.
  }

  write() {
    clearTimeout(this.timer);
    this.timer = null;
    try {
      sessionStorage.setItem(this.name, JSON.stringify({ regions: [...this.regions], zooms: [...this.zooms] }));
    } catch { /* No room: views are then kept until the next reload only. */ }
  }
}

function putLast(map, key, value) {
  map.delete(key);
  map.set(key, value);
  if (map.size > MOST_KEPT) map.delete(map.keys().next().value);
}

function read(name) {
  try {
    return JSON.parse(sessionStorage.getItem(name)) ?? { regions: [], zooms: [] };
  } catch {
    return { regions: [], zooms: [] };
  }
}
