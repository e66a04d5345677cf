// Looking at one background job until it has ended.
import { getJson } from '../reviewer/server.js';

const POLL_MS = 700;

/** `draw` shows the job each time it is looked at; resolves to the job as it ended. */
export async function ended(id, draw) {
  let job = await getJson(`/api/jobs/${id}`);
  while (job.finished_at === null) {
    draw(job);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    job = await getJson(`/api/jobs/${id}`);
  }
  return job;
}
