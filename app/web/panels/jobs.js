// Background jobs: state, progress, the last numbers, cancel, and the end of one log.
import { el, live, percent } from './dom.js';

const UNFINISHED = new Set(['queued', 'running']);
const STATE_TEXT = { queued: 'waiting', running: 'running', succeeded: 'done', failed: 'failed', cancelled: 'cancelled' };

export function mount(element, gradio) {
  const root = element.querySelector('.ps-panel');
  live(root, gradio, ({ jobs, log, may_run: mayRun, is_all: isAll }) => {
    const rows = jobs.map((job) => drawJob(job, gradio.trigger, log, mayRun));
    root.replaceChildren(...(rows.length ? rows : [el('p', { class: 'pp-muted' }, isAll ? 'No job has run yet.' : 'No job of this kind has run yet.')]));
    const box = root.querySelector('pre');
    if (box) box.scrollTop = box.scrollHeight;
  });
}

function drawJob(job, trigger, log, mayRun) {
  const share = job.progress_total > 0 ? Math.min(1, job.progress_done / job.progress_total) : 0;
  const isOpen = log?.job_id === job.id;
  const numbers = Object.entries(job.metrics).map(([name, value]) => `${name} ${Number(value).toPrecision(3)}`).join(' · ');
  const cancel = () => trigger('pick', { action: 'cancel', job_id: job.id });
  const show = () => trigger('pick', { action: 'log', job_id: job.id });
  return el('article', { class: `pp-job pp-${job.state}`, 'data-job': job.id, 'data-state': job.state },
    el('header', {}, el('strong', {}, `Job ${job.id}: ${job.title}`), el('span', { class: 'pp-state' }, job.cancel_requested && job.state === 'running' ? 'stopping' : STATE_TEXT[job.state]),
      el('span', { class: 'pp-space' }), el('small', {}, describeTime(job)),
      mayRun ? el('button', { type: 'button', onclick: show, 'aria-expanded': String(isOpen) }, 'Log') : null,
      mayRun && UNFINISHED.has(job.state) ? el('button', { type: 'button', onclick: cancel, disabled: job.cancel_requested }, 'Cancel') : null),
    job.state === 'running' ? el('progress', { value: share, max: 1, 'aria-label': 'Progress' }, percent(share)) : null,
    job.message || numbers ? el('p', {}, [job.state === 'running' ? percent(share) : '', job.message, numbers].filter(Boolean).join(' · ')) : null,
    job.error ? el('p', { class: 'pp-error' }, job.error) : null,
    isOpen ? el('pre', { tabindex: '0', 'aria-label': 'End of the log' }, log.text || 'Nothing was written yet.') : null);
}

function describeTime({ created_at: created, started_at: started, finished_at: finished }) {
  const clock = new Date(started ?? created).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  if (!started || !finished) return `since ${clock}`;
  const seconds = Math.round((new Date(finished) - new Date(started)) / 1000);
  return `${clock}, ${seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`}`;
}
