import { nullTranslator } from '@jupyterlab/translation';

import type { Revision, Series } from '../../types';
import { BOUNDS } from '../../bounds';
import { differences } from '../difference';
import { picturesOf } from '../figures';
import { formOf, NEW_RULE, policyFrom, problemsIn, ruleFrom, scheduleFrom } from '../policy';
import { problemOf } from '../limits';
import { chunks, countOf, pieces, plainLine } from '../search';
import { measure, readSpan, writeSpan } from '../units';
import { yamlOf } from '../yaml';
import { POLICY } from './samples';

const trans = nullTranslator.load('');

describe('spans of time', () => {
  it.each([
    ['90', 90],
    ['90s', 90],
    ['1.5m', 90],
    ['1h30m', 5400],
    ['0', 0],
    [' 2H ', 7200]
  ])('%s is read', (text, seconds) => expect(readSpan(text)).toBe(seconds));

  it.each(['', 'soon', '5 m', '-1', '1h30', '1e3'])('%s is not', text => expect(readSpan(text)).toBeNull());

  it.each([0, 1, 90, 60, 900, 5400, 86400, 0.5, 604800])('%s s come back as they were written', seconds =>
    expect(readSpan(writeSpan(seconds))).toBe(seconds)
  );
});

it('tells a measured value with the unit of its metric', () => {
  expect(measure('latency_p95', 0.085, trans)).toBe('85 ms');
  expect(measure('errors', 0.021, trans)).toBe('2.1 %');
  expect(measure('gpu_util', 80, trans)).toBe('80 %');
  expect(measure('rule r1: gpu_util', 80, trans)).toBe('80 %');
  expect(measure('memory', 1024 ** 3, trans)).toBe('1 GiB');
  expect(measure('concurrency', 5.6, trans)).toBe('5.6');
  expect(measure('queued', null, trans)).toBe('unknown');
});

it.each([
  ['calls_per_second', '0.001', '0.0009'],
  ['in_flight', '1', '0'],
  ['calls_per_day', '1', '0']
] as const)('takes of %s what the gateway takes, and no more', (name, least, less) => {
  const { most } = BOUNDS.LimitsSpec[name];
  expect([least, String(most), ''].map(text => problemOf(name, text, trans))).toEqual([null, null, null]);
  expect(BOUNDS.LimitsSpec[name].least).toBe(Number(least));
  for (const text of [less, String(most + 1), '-1', 'x', '1e3']) {
    expect(problemOf(name, text, trans)).not.toBeNull();
  }
});

describe('the policy as a form', () => {
  it('sends back what it was given, with the rules', () => {
    const { body, problems } = policyFrom(formOf(POLICY), POLICY, trans);
    expect(problems).toEqual({});
    expect(body).toEqual({
      min: 1,
      max: 4,
      target: true,
      idle_after: 900,
      down_delay: 90,
      rules: [{ id: 'r1', metric: 'gpu_util', above: 80, step: 1, cooldown: 300, window: 60 }],
      schedules: []
    });
  });

  it('tells at the field what cannot be read, and what is needed', () => {
    const form = { ...formOf(POLICY), min: 'two', max: '', idle_after: 'soon', target_concurrency: 'x' };
    expect(Object.keys(policyFrom(form, POLICY, trans).problems).sort()).toEqual([
      'idle_after',
      'max',
      'min',
      'target_concurrency'
    ]);
  });

  it('leaves what is not written to its default', () => {
    expect(
      ruleFrom({ ...NEW_RULE, metric: 'gpu_util', above: '80', window: '', cooldown: '' }, trans).body
    ).toEqual({
      metric: 'gpu_util',
      above: 80,
      step: 1
    });
    expect(
      scheduleFrom({ when: '0 8 * * *', timezone: '', duration: '2h', min: '2', max: '' }, trans).body
    ).toEqual({ when: '0 8 * * *', duration: 7200, min: 2 });
  });

  it('finds in the sentences of a refusal which field each is about', () => {
    const said =
      'min is 5, above max, which is 4; lower it or raise max. idle_after must be at least 1, not 0.';
    expect(problemsIn(said, ['min', 'max', 'idle_after'])).toEqual({
      min: 'min is 5, above max, which is 4; lower it or raise max.',
      idle_after: 'idle_after must be at least 1, not 0.'
    });
    expect(problemsIn('The rule has no threshold; give above or below.', ['above'])).toEqual({
      '': 'The rule has no threshold; give above or below.'
    });
    const two =
      'when has "9", which is no time of day. The schedule has neither min nor max; give one of them.';
    expect(problemsIn(two, ['when', 'min', 'max'])).toEqual({
      when: 'when has "9", which is no time of day.',
      '': 'The schedule has neither min nor max; give one of them.'
    });
  });
});

describe('a line of a log', () => {
  it('is shown without what is meant for a terminal', () => {
    expect(plainLine('\x1b[1;31mred\x1b[0m \x1b]0;title\x07text\x08')).toBe('red text');
    expect(plainLine('10 %\r50 %\r100 %\r')).toBe('100 %');
    expect(plainLine('a\tb')).toBe('a\tb');
  });

  it('is taken apart at what is looked for, whatever its case', () => {
    expect(pieces('Error and error', 'ERROR')).toEqual(['', 'Error', ' and ', 'error', '']);
    expect(pieces('nothing', 'x')).toEqual(['nothing']);
    expect(pieces('nothing', '')).toEqual(['nothing']);
    expect(countOf(['aaa', 'b', '\x1b[1maa'], 'aa')).toBe(2);
  });

  it('stays in its part while lines come and go', () => {
    const parts = (lost: number, count: number) => chunks(lost, count, 10).map(each => each.first);
    expect(parts(0, 25)).toEqual([0, 10, 20]);
    // Three lines have gone at the beginning, three have come at the end.
    expect(parts(3, 25)).toEqual([3, 10, 20]);
    expect(chunks(3, 25, 10)[1]).toEqual({ first: 10, from: 7, to: 17 });
    expect(chunks(0, 0)).toEqual([]);
  });
});

const REVISION: Revision = {
  number: 1,
  created_at: 1,
  folder: '/m',
  model_name: 'm',
  image: null,
  environment: ['B', 'A'],
  mounts: [],
  resources: { cpus: null, memory: null, gpus: 0 },
  files: {
    kind: 'copy',
    source: 'copy',
    path: '/c1',
    files: 3,
    bytes: 30,
    linked: 0,
    why: null,
    fingerprint: null
  },
  definition: { port: 8000, start_command: ['python', 'serve.py'], health_check: { path: '/health' } }
};

describe('what differs between two revisions', () => {
  it('is told field by field, and what is only somewhere else does not', () => {
    const next: Revision = {
      ...REVISION,
      number: 2,
      image: 'site/python',
      environment: ['A', 'B'],
      files: { ...REVISION.files, path: '/c2', bytes: 40 },
      definition: { port: 8001, start_command: ['python', 'serve.py'] }
    };
    expect(differences(REVISION, next)).toEqual([
      { field: 'files.bytes', before: '30', after: '40' },
      { field: 'definition.port', before: '8000', after: '8001' },
      { field: 'definition.health_check.path', before: '/health', after: null },
      { field: 'image', before: null, after: 'site/python' }
    ]);
  });

  it('is nothing for the same', () => expect(differences(REVISION, { ...REVISION, number: 2 })).toEqual([]));
});

it('writes a definition as YAML that reads back the same', () => {
  const text = yamlOf({
    name: 'm',
    port: 8000,
    nothing: null,
    none: [],
    start_command: ['python', '--port', '8000', 'a: b', 'yes', ''],
    health_check: { path: '/health', max_wait_time: 2.5, also: {} },
    actions: [{ action: 'run', args: { x: true } }, { action: 'stop' }]
  });
  expect(text).toBe(`name: m
port: 8000
start_command: [python, "--port", "8000", "a: b", "yes", ""]
health_check:
  path: /health
  max_wait_time: 2.5
actions:
  - action: run
    args:
      x: true
  - action: stop
`);
});

describe('the charts', () => {
  const series = (values: Series['values']): Series => ({ step: 2, times: [0, 2, 4], values });

  it('leave out GPUs where there are none', () => {
    const ids = (values: Series['values']) => picturesOf(series(values), trans).map(each => each.id);
    expect(ids({})).toEqual(['calls', 'latency', 'replicas']);
    expect(ids({ gpu_util: [null, null, null] })).toEqual(['calls', 'latency', 'replicas']);
    expect(ids({ gpu_memory: [null, 3, null] })).toEqual(['calls', 'latency', 'replicas', 'gpu']);
  });

  it('know nothing of what was not measured', () => {
    const [calls] = picturesOf(series({ calls_per_second: [1, 2, 3] }), trans);
    expect(calls.lines.map(each => each.values)).toEqual([
      [1, 2, 3],
      [null, null, null]
    ]);
  });
});

it('leaves out of a log line what turns its rest around, and all controls', () => {
  expect(plainLine('a\u202eb\u2067c\u2069 \x1b[31mred\x1b[0m\x85\x9b!\tend')).toBe('abc red!\tend');
});
