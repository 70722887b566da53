/** Where the lines of a chart go. Pure: figures in, coordinates out; `null` is unknown, and unknown is a gap. */

export type Values = ReadonlyArray<number | null>;

export interface Scale {
  /** The lowest and the highest value that are shown. */
  least: number;
  most: number;
  /** Values at which there is a line across, `least` and `most` among them. */
  ticks: readonly number[];
}

/** From zero to a round number that no value exceeds, in `steps` parts at most; `atLeast` is shown in any case. */
export function scaleOf(lines: readonly Values[], { atLeast = 0, steps = 4, whole = false } = {}): Scale {
  let top = atLeast;
  for (const line of lines) {
    for (const value of line) {
      if (value !== null && value > top && Number.isFinite(value)) {
        top = value;
      }
    }
  }
  const step = roundStep((top || 1) / steps, whole);
  const count = Math.max(1, Math.ceil((top || 1) / step - 1e-9));
  return {
    least: 0,
    most: count * step,
    ticks: Array.from({ length: count + 1 }, (_, i) => clean(i * step))
  };
}

/** The next of 1, 2, 2.5, 5, 10 … (of 1, 2, 5, 10 … for what is counted) that is no smaller. */
function roundStep(rough: number, whole: boolean): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  const share = rough / power;
  const nice = (whole ? [1, 2, 5, 10] : [1, 2, 2.5, 5, 10]).find(each => each >= share - 1e-9) ?? 10;
  return whole ? Math.max(1, nice * power) : nice * power;
}

/** 0.30000000000000004 is 0.3. */
function clean(value: number): number {
  return Number(value.toPrecision(12));
}

export interface Frame {
  width: number;
  height: number;
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** Where on the screen an instant is, between `from` and `to`. */
export function xOf(time: number, from: number, to: number, frame: Frame): number {
  const room = frame.width - frame.left - frame.right;
  return frame.left + (to > from ? (time - from) / (to - from) : 0) * room;
}

export function yOf(value: number, scale: Scale, frame: Frame): number {
  const room = frame.height - frame.top - frame.bottom;
  const share = (value - scale.least) / (scale.most - scale.least);
  return frame.top + (1 - Math.min(1, Math.max(0, share))) * room;
}

/** The path of a line, broken where a value is unknown. A value that stands alone is a dot (a line of no length). */
export function pathOf(values: Values, x: (i: number) => number, y: (value: number) => number): string {
  let path = '';
  let open = false;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value === null || value === undefined) {
      open = false;
      continue;
    }
    const at = `${short(x(i))} ${short(y(value))}`;
    const alone = !open && (values[i + 1] ?? null) === null;
    path += open ? `L${at}` : alone ? `M${at}h0` : `M${at}`;
    open = true;
  }
  return path;
}

function short(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** Which of the times is nearest to a place on the screen. */
export function nearest(times: readonly number[], x: number, frame: Frame): number {
  const room = frame.width - frame.left - frame.right;
  if (times.length === 0) {
    return -1;
  }
  const [from, to] = [times[0], times[times.length - 1]];
  const time = from + ((x - frame.left) / room) * (to - from);
  let low = 0;
  let high = times.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return Math.abs(times[low] - time) <= Math.abs(times[high] - time) ? low : high;
}

/** The newest that is known; null where none is. */
export function latest(values: Values): number | null {
  for (let i = values.length - 1; i >= 0; i--) {
    if (values[i] !== null && values[i] !== undefined) {
      return values[i];
    }
  }
  return null;
}

/** Round moments on the axis (Unix seconds), `most` of them at most: full minutes, quarters, hours in local time. */
export function timeTicks(from: number, to: number, most: number, offset = localOffset(from)): number[] {
  const step =
    [10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400].find(
      each => (to - from) / each <= most
    ) ?? 86400;
  const ticks: number[] = [];
  for (let at = Math.ceil((from + offset) / step) * step - offset; at <= to; at += step) {
    ticks.push(at);
  }
  return ticks;
}

/** Seconds that local time is ahead of UTC. */
function localOffset(at: number): number {
  return -60 * new Date(at * 1000).getTimezoneOffset();
}

/** At most `most` of the indices, evenly, the last one always among them. */
export function sample(length: number, most: number): number[] {
  const step = Math.max(1, Math.ceil(length / most));
  const found: number[] = [];
  for (let i = length - 1; i >= 0; i -= step) {
    found.push(i);
  }
  return found.reverse();
}
