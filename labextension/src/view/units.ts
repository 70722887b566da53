/** Times and figures as people write and read them. Pure. */
import type { TranslationBundle } from '@jupyterlab/translation';

import { bytes, figure, latency } from '../format';

const SECONDS: Record<string, number> = { '': 1, s: 1, m: 60, h: 3600, d: 86400, w: 604800 };

/** "90", "15m", "1h30m" in seconds; null for anything else. */
export function readSpan(text: string): number | null {
  const written = text.trim().toLowerCase();
  if (!/^(\d+(\.\d+)?|(\d+(\.\d+)?[smhdw])+)$/.test(written)) {
    return null;
  }
  const parts = [...written.matchAll(/(\d+(?:\.\d+)?)([smhdw]?)/g)];
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * SECONDS[unit], 0);
}

/** The shortest that `readSpan` reads back as the same: "15m", "1h30m", "90s" for what is no full minutes. */
export function writeSpan(seconds: number): string {
  let rest = seconds;
  let text = '';
  if (seconds % 60 === 0 && seconds > 0) {
    for (const unit of ['d', 'h', 'm']) {
      const count = Math.floor(rest / SECONDS[unit]);
      text += count > 0 ? `${count}${unit}` : '';
      rest -= count * SECONDS[unit];
    }
    return text;
  }
  return `${figureOf(seconds)}s`;
}

/** All the figures that a number has, and no more. */
export function figureOf(value: number): string {
  return String(Number(value.toPrecision(6)));
}

/** A measured value with the unit of its metric; `rule r1: gpu_util` is what a rule compares. */
export function measure(of: string, value: number | null, trans: TranslationBundle): string {
  if (value === null) {
    return trans.__('unknown');
  }
  const metric = of.replace(/^rule \S+: /, '');
  if (metric === 'memory') {
    return bytes(value);
  }
  if (metric === 'service_time' || /^(latency|first_byte)_/.test(metric)) {
    return latency(value, trans);
  }
  if (metric === 'errors') {
    return trans.__('%1 %', figure(100 * value));
  }
  return /^(gpu_|cpu_)/.test(metric) ? trans.__('%1 %', figure(value)) : figure(value);
}

/** The metrics that a rule can look at, with the unit in which its thresholds are written. */
export function metricUnits(trans: TranslationBundle): Readonly<Record<string, string>> {
  const seconds = trans.__('seconds');
  const percent = trans.__('percent');
  const calls = trans.__('calls per replica');
  return {
    concurrency: calls,
    calls_per_second: trans.__('calls per second and replica'),
    queued: trans.__('calls'),
    latency_p50: seconds,
    latency_p95: seconds,
    latency_p99: seconds,
    first_byte_p50: seconds,
    first_byte_p95: seconds,
    first_byte_p99: seconds,
    errors: trans.__('share, 0 to 1'),
    gpu_util: percent,
    gpu_memory: percent,
    cpu_util: percent,
    memory: trans.__('bytes')
  };
}
