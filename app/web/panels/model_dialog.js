// Asks before a model is changed, for a reason where one is needed, and does it. What the server refuses is said here.
import { post } from '../reviewer/server.js';
import { ask } from './dialog.js';
import { el } from './dom.js';

const MAX_REASON = 1000;

const proposals = (answer) => (answer.job_error ? `Its proposals could not be queued: ${answer.job_error}` : `Job ${answer.job_id} predicts its proposals.`);

const QUESTIONS = {
  promote: {
    title: (model) => `Promote round ${model.round}?`,
    text: (model, current) => (current ? `It takes the place of round ${current.round}, which can be promoted again. ` : '') + 'Its proposals are predicted for the pool; decisions stay.',
    reason: 'Reason (needed when gold got worse or cannot be compared; at least three words)',
    yes: 'Promote', path: (model) => `/api/models/${model.id}/promote`,
    done: (model, answer) => `Round ${model.round} is the current one. ${proposals(answer)}`,
  },
  rollback: {
    title: (model) => `Roll back to round ${model.round}?`,
    text: (model, current) => `Round ${current?.round} is retired and can be promoted again. Where nothing was decided since, the old proposals are in force again; the other images are predicted again. Decisions stay.`,
    reason: 'Reason (at least three words)', isRequired: true,
    yes: 'Roll back', path: (model) => `/api/models/${model.id}/rollback`,
    done: (model, answer) => `Round ${model.round} is the current one again; ${answer.restored} images have its proposals back. ${proposals(answer)}`,
  },
  reject: {
    title: (model) => `Set round ${model.round} aside?`,
    text: () => 'The current model stays. The files of this round stay, too, so that it can still be promoted later.',
    reason: 'Reason, if you like', yes: 'Set aside', path: (model) => `/api/models/${model.id}/reject`,
    done: (model) => `Round ${model.round} is set aside.`,
  },
};

/** Returns what to tell the person, or null when nothing was done. */
export async function askAndDo(action, subject, current) {
  if (action === 'measure') return measure([subject]);
  if (action === 'limits') return askLimits(subject);
  const question = QUESTIONS[action];
  const reason = el('textarea', { rows: 3, maxlength: MAX_REASON, required: question.isRequired ?? false });
  const body = [el('p', {}, question.text(subject, current)), el('label', {}, el('span', {}, question.reason), reason)];
  return ask(question.title(subject), body, question.yes, async () => {
    const seen = action === 'reject' ? {} : { seen_current: current?.id ?? null };
    const answer = await post(question.path(subject), { reason: reason.value.trim(), ...seen });
    return question.done(subject, answer);
  });
}

/** Queue a measurement of some models on today's gold images. */
export async function measure(models) {
  const { job_id: job } = await post('/api/jobs', { kind: 'measure', arguments: { model_ids: models.map((model) => model.id) } });
  return `Job ${job} measures ${models.map((model) => `round ${model.round}`).join(' and ')} on the gold images.`;
}

function askLimits(limits) {
  const field = (share) => el('input', { type: 'number', min: 0, max: 100, step: 0.1, required: true, value: Math.round(share * 1000) / 10 });
  const mean = field(limits.miou_fall), single = field(limits.class_fall);
  const body = [
    el('p', {}, 'A round that falls by more than this is promoted only with a reason.'),
    el('label', {}, el('span', {}, 'Gold mIoU, in points'), mean), el('label', {}, el('span', {}, 'Any single class, in points'), single),
  ];
  return ask('Limits of promotion', body, 'Save', async () => {
    await post('/api/models/limits', { miou_fall: Number(mean.value) / 100, class_fall: Number(single.value) / 100 });
    return 'The limits are saved.';
  });
}
