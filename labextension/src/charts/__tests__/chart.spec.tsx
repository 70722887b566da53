import { nullTranslator } from '@jupyterlab/translation';
import { fireEvent, render, screen } from '@testing-library/react';
import React from 'react';

import { clock } from '../../format';
import { Chart, ChartProps } from '../chart';

const TIMES = [1000, 1002, 1004, 1006];
const PROPS: ChartProps = {
  title: 'Latency',
  times: TIMES,
  lines: [
    { name: 'p50', values: [10, 12, null, null], look: 1 },
    { name: 'p95', values: [null, null, null, null], look: 2 }
  ],
  show: value => `${value} ms`,
  nothing: 'No call was answered.',
  trans: nullTranslator.load('')
};

it('tells its newest figures to who cannot see it', () => {
  render(<Chart {...PROPS} />);
  expect(screen.getByRole('img').getAttribute('aria-label')).toBe('Latency: p50 12 ms, p95 unknown');
});

it('says so where there is nothing to draw', () => {
  render(<Chart {...PROPS} lines={[PROPS.lines[1]]} />);
  expect(screen.queryByRole('img')).toBeNull();
  expect(screen.getByText('No call was answered.')).toBeTruthy();
});

it('is read with the arrow keys, moment by moment', () => {
  render(<Chart {...PROPS} />);
  const slider = screen.getByRole('slider');
  expect(slider.getAttribute('aria-valuenow')).toBe('3');
  fireEvent.keyDown(slider, { key: 'Home' });
  fireEvent.keyDown(slider, { key: 'ArrowRight' });
  expect(slider.getAttribute('aria-valuetext')).toBe(`${clock(1002, true)}: p50 12 ms, p95 unknown`);
  fireEvent.keyDown(slider, { key: 'ArrowRight' });
  expect(slider.getAttribute('aria-valuetext')).toBe(`${clock(1004, true)}: p50 unknown, p95 unknown`);
  fireEvent.keyDown(slider, { key: 'End' });
  fireEvent.keyDown(slider, { key: 'ArrowRight' });
  expect(slider.getAttribute('aria-valuenow')).toBe('3');
});

it('has a table, which is not made before it is opened', () => {
  const { container } = render(<Chart {...PROPS} />);
  expect(container.querySelector('table')).toBeNull();
  const details = container.querySelector('details')!;
  details.open = true;
  fireEvent(details, new Event('toggle'));
  const rows = [...container.querySelectorAll('tbody tr')].map(row => row.textContent);
  expect(rows).toEqual([
    `${clock(1006, true)}––`,
    `${clock(1004, true)}––`,
    `${clock(1002, true)}12 ms–`,
    `${clock(1000, true)}10 ms–`
  ]);
});

it('draws a count as stairs: it stays until it changes', () => {
  const { container } = render(
    <Chart {...PROPS} lines={[{ name: 'ready', values: [1, 1, 2, 2], look: 1, stairs: true }]} />
  );
  const heights = (container.querySelector('.jp-ModelService-chart-room path')!.getAttribute('d') ?? '')
    .split(/[ML]/)
    .filter(Boolean)
    .map(each => each.split(' ')[1]);
  expect(heights).toHaveLength(7);
  expect(new Set(heights).size).toBe(2);
});
