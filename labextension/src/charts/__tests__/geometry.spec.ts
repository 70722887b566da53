import { Frame, latest, nearest, pathOf, sample, scaleOf, timeTicks, xOf, yOf } from '../geometry';

const FRAME: Frame = { width: 220, height: 120, left: 10, right: 10, top: 10, bottom: 10 };

describe('scaleOf', () => {
  it('goes from zero to a round number that nothing exceeds', () => {
    expect(scaleOf([[3, 7.2, null]])).toEqual({ least: 0, most: 8, ticks: [0, 2, 4, 6, 8] });
    expect(scaleOf([[0.09], [0.11]]).most).toBeCloseTo(0.15);
  });

  it('has room for what is to be shown in any case', () => {
    expect(scaleOf([[12]], { atLeast: 100 }).most).toBe(100);
  });

  it('has a height where everything is zero or unknown', () => {
    expect(scaleOf([[0, null]]).most).toBeGreaterThan(0);
    expect(scaleOf([[]]).most).toBeGreaterThan(0);
  });

  it('counts in whole numbers where asked to', () => {
    expect(scaleOf([[1]], { whole: true }).ticks).toEqual([0, 1]);
    expect(scaleOf([[7]], { whole: true }).ticks).toEqual([0, 2, 4, 6, 8]);
  });

  it('has ticks without the noise of sums', () => {
    expect(scaleOf([[0.3]], { steps: 3 }).ticks).toEqual([0, 0.1, 0.2, 0.3]);
  });
});

describe('pathOf', () => {
  const x = (i: number) => i * 10;
  const y = (value: number) => 100 - value;

  it('is broken where a value is unknown', () => {
    expect(pathOf([1, 2, null, 3, 4], x, y)).toBe('M0 99L10 98M30 97L40 96');
  });

  it('draws a value that stands alone as a dot', () => {
    expect(pathOf([null, 5, null, 6], x, y)).toBe('M10 95h0M30 94h0');
  });

  it('draws zero, which is not unknown', () => {
    expect(pathOf([0, 0], x, y)).toBe('M0 100L10 100');
  });
});

describe('places', () => {
  it('puts the first moment at the left and the last at the right', () => {
    expect([0, 5, 10].map(time => xOf(time, 0, 10, FRAME))).toEqual([10, 110, 210]);
  });

  it('puts zero at the bottom, and keeps what is too large at the top', () => {
    const scale = { least: 0, most: 10, ticks: [] };
    expect([0, 10, 99].map(value => yOf(value, scale, FRAME))).toEqual([110, 10, 10]);
  });

  it('finds the moment that is pointed at, and the nearest one from outside', () => {
    const times = [0, 2, 4, 6, 8, 10];
    expect([-50, 10, 68, 75, 210, 900].map(place => nearest(times, place, FRAME))).toEqual([
      0, 0, 1, 2, 5, 5
    ]);
    expect(nearest([], 10, FRAME)).toBe(-1);
  });
});

it('takes the newest figure that is known', () => {
  expect(latest([1, 2, null])).toBe(2);
  expect(latest([null])).toBeNull();
});

it('puts round moments of local time on the axis, and no more than there is room for', () => {
  expect(timeTicks(1000, 1600, 6, 0)).toEqual([1080, 1200, 1320, 1440, 1560]);
  // Half past of India is a full hour there.
  expect(timeTicks(0, 7200, 3, 19800)).toEqual([1800, 5400]);
  expect(timeTicks(0, 86400, 5, 0).length).toBeLessThanOrEqual(5);
});

it('takes some of many, evenly, and the last one', () => {
  expect(sample(10, 4)).toEqual([0, 3, 6, 9]);
  expect(sample(3, 30)).toEqual([0, 1, 2]);
  expect(sample(0, 30)).toEqual([]);
});
