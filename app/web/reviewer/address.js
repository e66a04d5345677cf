// What the page's address says: which region, and to what the queue is narrowed.

/** What the address may narrow the queue to; see GET /api/queue. */
const FILTERS = ['state', 'class_id', 'image_id', 'assignee', 'text', 'asked', 'everybody', 'include_enough'];

export function filterFromAddress() {
  const search = new URLSearchParams(location.search);
  return Object.fromEntries(FILTERS.filter((name) => search.get(name)).map((name) => [name, search.get(name)]));
}

export function withoutRegion() {
  const address = new URL(location.href);
  address.searchParams.delete('region');
  return address.href;
}

export function withRegion(regionId) {
  const address = new URL(location.href);
  address.searchParams.set('region', regionId);
  return address;
}
