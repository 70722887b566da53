/** How much a token may call, as people write and read it. Pure. */
import type { TranslationBundle } from '@jupyterlab/translation';

import { BOUNDS } from '../bounds';
import type { LimitsInfo, LimitsSpec } from '../types';
import { figureOf } from './units';

export type LimitName = keyof LimitsInfo;

/** As it is typed: an empty field is no limit. */
export type LimitsForm = Readonly<Record<LimitName, string>>;

export const LIMITS: readonly LimitName[] = ['calls_per_second', 'in_flight', 'calls_per_day'];

export const NO_LIMITS: LimitsForm = { calls_per_second: '', in_flight: '', calls_per_day: '' };

export function labelsOf(trans: TranslationBundle): Readonly<Record<LimitName, string>> {
  return {
    calls_per_second: trans.__('Calls per second'),
    in_flight: trans.__('Calls at once'),
    calls_per_day: trans.__('Calls per day')
  };
}

export function formOf(limits: LimitsInfo | null): LimitsForm {
  const typed = (name: LimitName) => (limits?.[name] == null ? '' : String(limits[name]));
  return {
    calls_per_second: typed('calls_per_second'),
    in_flight: typed('in_flight'),
    calls_per_day: typed('calls_per_day')
  };
}

/** What is wrong with what was typed, in a sentence; null where nothing is. */
export function problemOf(name: LimitName, typed: string, trans: TranslationBundle): string | null {
  const text = typed.trim();
  if (text === '') {
    return null;
  }
  const { least, most } = BOUNDS.LimitsSpec[name];
  const whole = name !== 'calls_per_second';
  const written = whole ? /^\d+$/ : /^\d+(\.\d+)?$/;
  if (written.test(text) && Number(text) >= least && Number(text) <= most) {
    return null;
  }
  return whole
    ? trans.__('A whole number from 1 on; empty: no limit.')
    : trans.__('A number such as 10, or 0.5; empty: no limit.');
}

/** All three: an empty field takes its limit away. */
export function limitsFrom(form: LimitsForm): LimitsSpec {
  const read = (text: string) => (text.trim() === '' ? null : Number(text));
  return {
    calls_per_second: read(form.calls_per_second),
    in_flight: read(form.in_flight),
    calls_per_day: read(form.calls_per_day)
  };
}

/** "10/s, 4 at once, 1000/day"; a dash where there are none. */
export function limitsWords(limits: LimitsInfo | null, trans: TranslationBundle): string {
  const { calls_per_second: rate = null, in_flight: most = null, calls_per_day: day = null } = limits ?? {};
  const words = [
    rate === null ? null : trans.__('%1/s', figureOf(rate)),
    most === null ? null : trans.__('%1 at once', most),
    day === null ? null : trans.__('%1/day', day)
  ].filter(each => each !== null);
  return words.length === 0 ? '–' : words.join(', ');
}
