// Looking at one background job until it has ended.
import { getJson, post } from '../reviewer/server.js';
import { el, percent } from './dom.js';

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

/** A bar, how far the job is, and a button that stops it; `does` is said of a job that runs, `fail` gets a refusal. */
export function progressLine(job, name, does, fail) {
  const done = Math.min(1, job.progress_done / Math.max(1, job.progress_total));
  const cancel = () => post(`/api/jobs/${job.id}/cancel`, null).catch((error) => fail(error.message));
  return [el('progress', { value: done, max: 1, 'aria-label': name }),
    el('span', {}, job.state === 'queued' ? `Job ${job.id} waits for the worker` : `Job ${job.id} ${does}: ${percent(done)} ${job.message}`),
    el('button', { type: 'button', disabled: job.cancel_requested, onclick: cancel }, 'Stop')];
}
