/** A picture of calls per second as small as a word. Its meaning stands in its label. */
import React from 'react';

const WIDTH = 56;
const HEIGHT = 16;

export interface SparkProps {
  values: readonly number[];
  label: string;
}

/** Points of an SVG line over the whole width; the greatest value is at the top, zero at the bottom. */
export function points(values: readonly number[], width = WIDTH, height = HEIGHT): string {
  const most = Math.max(...values, Number.MIN_VALUE);
  const last = Math.max(1, values.length - 1);
  return values
    .map(
      (value, i) =>
        `${((i / last) * width).toFixed(1)},${(height - 1 - (value / most) * (height - 2)).toFixed(1)}`
    )
    .join(' ');
}

export function Spark({ values, label }: SparkProps): JSX.Element {
  return (
    <svg
      className="jp-ModelService-spark"
      role="img"
      aria-label={label}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      width={WIDTH}
      height={HEIGHT}
      preserveAspectRatio="none"
    >
      <title>{label}</title>
      {values.length > 1 && <polyline points={points(values)} />}
    </svg>
  );
}
