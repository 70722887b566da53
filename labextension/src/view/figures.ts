/** Which charts there are, and which of the measured series each of them shows. Pure. */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Line } from '../charts/chart';
import { latest, Values } from '../charts/geometry';
import { figure, latency } from '../format';
import type { Series } from '../types';

export interface Picture {
  id: string;
  title: string;
  lines: readonly Line[];
  show: (value: number) => string;
  atLeast?: number;
  whole?: boolean;
  nothing: string;
}

/** Those of GPUs only where one was ever seen. */
export function picturesOf(series: Series, trans: TranslationBundle): Picture[] {
  const none = series.times.map(() => null);
  const of = (name: string): Values => series.values[name] ?? none;
  const percent = (value: number) => trans.__('%1 %', figure(value));
  const pictures: Picture[] = [
    {
      id: 'calls',
      title: trans.__('Calls per second'),
      lines: [
        { name: trans.__('calls'), values: of('calls_per_second'), look: 1 },
        { name: trans.__('errors'), values: of('errors_per_second'), look: 4 }
      ],
      show: figure,
      atLeast: 1,
      nothing: trans.__('Nothing was measured yet.')
    },
    {
      id: 'latency',
      title: trans.__('Latency'),
      lines: [
        { name: 'p50', values: of('latency_p50'), look: 1 },
        { name: 'p95', values: of('latency_p95'), look: 2 },
        { name: 'p99', values: of('latency_p99'), look: 3 }
      ],
      show: value => latency(value, trans),
      nothing: trans.__('No call was answered in this time.')
    },
    {
      id: 'replicas',
      title: trans.__('Replicas'),
      lines: [
        { name: trans.__('wanted'), values: of('replicas_wanted'), look: 2, stairs: true },
        { name: trans.__('ready'), values: of('replicas_ready'), look: 1, stairs: true }
      ],
      show: figure,
      atLeast: 1,
      whole: true,
      nothing: trans.__('Nothing was measured yet.')
    }
  ];
  if (latest(of('gpu_util')) !== null || latest(of('gpu_memory')) !== null) {
    pictures.push({
      id: 'gpu',
      title: trans.__('GPU'),
      lines: [
        { name: trans.__('use'), values: of('gpu_util'), look: 1 },
        { name: trans.__('memory'), values: of('gpu_memory'), look: 2 }
      ],
      show: percent,
      atLeast: 100,
      nothing: trans.__('Nothing was measured yet.')
    });
  }
  if (latest(of('cpu_util')) !== null) {
    pictures.push({
      id: 'cpu',
      title: trans.__('CPU per replica'),
      lines: [{ name: trans.__('use'), values: of('cpu_util'), look: 1 }],
      show: percent,
      atLeast: 10,
      nothing: trans.__('Nothing was measured yet.')
    });
  }
  return pictures;
}
