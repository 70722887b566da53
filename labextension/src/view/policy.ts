/** The autoscaling policy as a form: what is written in its fields, what is sent, and what is wrong where. Pure. */
import type { TranslationBundle } from '@jupyterlab/translation';

import type {
  Autoscaling,
  AutoscalingChange,
  AutoscalingRequest,
  Offer,
  RuleSpec,
  ScheduleSpec,
  Service
} from '../types';
import { figureOf, readSpan, writeSpan } from './units';

/** What stands in the fields, as it was typed. */
export interface PolicyForm {
  min: string;
  max: string;
  target: boolean;
  target_concurrency: string;
  idle_after: string;
  down_delay: string;
}

export interface RuleForm {
  metric: string;
  above: string;
  below: string;
  step: string;
  window: string;
  cooldown: string;
  min: string;
  max: string;
}

export interface ScheduleForm {
  when: string;
  timezone: string;
  duration: string;
  min: string;
  max: string;
}

/** What is wrong, by field; what belongs to no field has the name "". */
export type Problems = Readonly<Record<string, string>>;

export const NEW_RULE: RuleForm = {
  metric: 'concurrency',
  above: '',
  below: '',
  step: '1',
  window: '1m',
  cooldown: '5m',
  min: '',
  max: ''
};

/** The most telling metric that can be had: how busy the GPUs are, or else how many calls are under way. */
export function newRule(unknown: Readonly<Record<string, string>>): RuleForm {
  return 'gpu_util' in unknown ? NEW_RULE : { ...NEW_RULE, metric: 'gpu_util' };
}

/** Why a metric cannot be known here, by metric. */
export function unknownMetrics(
  service: Service,
  offer: Offer | null,
  trans: TranslationBundle
): Readonly<Record<string, string>> {
  const active = service.revisions.find(each => each.number === service.revision);
  const seen = service.replica_list.some(each => each.gpus !== null && each.gpus.length > 0);
  if (seen || (active?.resources.gpus ?? 0) > 0 || (offer !== null && offer.gpus != null)) {
    return {};
  }
  const why = trans.__('not known: its replicas have no GPU');
  return { gpu_util: why, gpu_memory: why };
}

export function formOf(policy: Autoscaling | null, replicas = 1): PolicyForm {
  return policy === null
    ? {
        min: '1',
        max: String(Math.max(4, replicas)),
        target: true,
        target_concurrency: '',
        idle_after: '15m',
        down_delay: '5m'
      }
    : {
        min: String(policy.min),
        max: String(policy.max),
        target: policy.target,
        target_concurrency: policy.target_concurrency === null ? '' : figureOf(policy.target_concurrency),
        idle_after: writeSpan(policy.idle_after),
        down_delay: writeSpan(policy.down_delay)
      };
}

export function newSchedule(): ScheduleForm {
  const timezone = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';
  return { when: '', timezone, duration: '', min: '', max: '' };
}

/** Reads field by field, and notes what cannot be read. The server judges what can. */
class Reader {
  constructor(private readonly _trans: TranslationBundle) {}

  readonly problems: Record<string, string> = {};

  count(field: string, text: string): number | undefined {
    return this._read(field, text, /^\d+$/.test(text.trim()) ? Number(text) : null, () =>
      this._trans.__('Write a whole number, such as 2.')
    );
  }

  figure(field: string, text: string): number | undefined {
    const value = Number(text);
    return this._read(field, text, Number.isFinite(value) ? value : null, () =>
      this._trans.__('Write a number, such as 0.5.')
    );
  }

  span(field: string, text: string): number | undefined {
    return this._read(field, text, readSpan(text), () =>
      this._trans.__('Write a time such as 90s, 15m or 2h.')
    );
  }

  needed(field: string, text: string): void {
    if (text.trim() === '') {
      this.problems[field] = this._trans.__('This is needed.');
    }
  }

  private _read(field: string, text: string, value: number | null, advice: () => string): number | undefined {
    if (text.trim() === '') {
      return undefined;
    }
    if (value === null) {
      this.problems[field] = advice();
      return undefined;
    }
    return value;
  }
}

/** What is sent: the whole policy, with the rules and schedules that it has. An empty field has its default. */
export function policyFrom(
  form: PolicyForm,
  policy: Autoscaling | null,
  trans: TranslationBundle
): { body: AutoscalingRequest; problems: Problems } {
  const reader = new Reader(trans);
  reader.needed('min', form.min);
  reader.needed('max', form.max);
  const body = withoutGaps({
    min: reader.count('min', form.min),
    max: reader.count('max', form.max),
    target: form.target,
    target_concurrency: form.target
      ? reader.figure('target_concurrency', form.target_concurrency)
      : undefined,
    idle_after: reader.span('idle_after', form.idle_after),
    down_delay: reader.span('down_delay', form.down_delay),
    rules: (policy?.rules ?? []).map(withoutGaps),
    schedules: (policy?.schedules ?? []).map(withoutGaps)
  });
  return { body: body as AutoscalingRequest, problems: reader.problems };
}

/** Fields that were changed here, with what stood there when they were touched first. */
export interface Touched {
  typed: Partial<PolicyForm>;
  base: Partial<PolicyForm>;
}

export const UNTOUCHED: Touched = { typed: {}, base: {} };

/** One that is as it was before is not touched any more. */
export function touch(touched: Touched, now: PolicyForm, change: Partial<PolicyForm>): Touched {
  const typed = { ...touched.typed, ...change };
  const base = { ...now, ...touched.base };
  const kept = namesOf(typed).filter(name => typed[name] !== base[name]);
  const only = (form: Partial<PolicyForm>): Partial<PolicyForm> =>
    Object.fromEntries(kept.map(name => [name, form[name]]));
  return { typed: only(typed), base: only(base) };
}

/** Touched fields that somebody else has changed since, to something else than what was typed. */
export function overtaken({ typed, base }: Touched, now: PolicyForm): Array<keyof PolicyForm> {
  return namesOf(typed).filter(name => now[name] !== base[name] && now[name] !== typed[name]);
}

/** What is sent of a policy that is there: the fields that were touched, so that nobody else's change is undone. */
export function changeFrom(
  form: PolicyForm,
  { typed }: Touched,
  trans: TranslationBundle
): { body: AutoscalingChange; problems: Problems } {
  const { body, problems } = policyFrom(form, null, trans);
  const names: string[] = namesOf(typed);
  const sent = names.map(name => [name, (body as Record<string, unknown>)[name] ?? null]);
  const seen = Object.entries(problems).filter(([name]) => names.includes(name));
  return { body: Object.fromEntries(sent), problems: Object.fromEntries(seen) };
}

function namesOf(form: Partial<PolicyForm>): Array<keyof PolicyForm> {
  return Object.keys(form) as Array<keyof PolicyForm>;
}

export function ruleFrom(form: RuleForm, trans: TranslationBundle): { body: RuleSpec; problems: Problems } {
  const reader = new Reader(trans);
  reader.needed('metric', form.metric);
  const body = withoutGaps({
    metric: form.metric.trim(),
    above: reader.figure('above', form.above),
    below: reader.figure('below', form.below),
    step: reader.count('step', form.step),
    window: reader.span('window', form.window),
    cooldown: reader.span('cooldown', form.cooldown),
    min: reader.count('min', form.min),
    max: reader.count('max', form.max)
  });
  return { body: body as RuleSpec, problems: reader.problems };
}

export function scheduleFrom(
  form: ScheduleForm,
  trans: TranslationBundle
): { body: ScheduleSpec; problems: Problems } {
  const reader = new Reader(trans);
  reader.needed('when', form.when);
  const body = withoutGaps({
    when: form.when.trim(),
    timezone: form.timezone.trim() || undefined,
    duration: reader.span('duration', form.duration),
    min: reader.count('min', form.min),
    max: reader.count('max', form.max)
  });
  return { body: body as ScheduleSpec, problems: reader.problems };
}

function withoutGaps<T extends object>(plain: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(plain).filter(([, value]) => value !== null && value !== undefined)
  ) as Partial<T>;
}

/** The server's sentences each begin with the field that they are about, "min is 5, above max … idle_after must …", or
 * with what they are about as a whole: "The schedule has neither …". */
export function problemsIn(message: string, fields: readonly string[]): Problems {
  const known = new RegExp(`(?:^|(?<=[.?] ))(?=(?:${fields.join('|')}|The (?:policy|rule|schedule)) )`, 'g');
  const problems: Record<string, string> = {};
  for (const sentence of message.split(known)) {
    const field = fields.find(each => sentence.startsWith(`${each} `)) ?? '';
    const said = sentence.trim();
    if (said !== '') {
      problems[field] = field in problems ? `${problems[field]} ${said}` : said;
    }
  }
  return problems;
}
